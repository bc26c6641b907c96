/* test_token_bucket.c - token buckets: burst, refill, forgetting, a full table, several
 * processes. */
#include "config.h"

#include "limits/token_bucket.h"

#include "../unit.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_NAME "rate"
#define SLOTS 64

/* 60 a minute, all of them at once if need be. */
#define INTERVAL 1000
#define BURST 60

static _Atomic uint64_t slots[SLOTS];

static struct token_buckets
rate_new(void)
{
    memset(slots, 0, sizeof slots);
    return (struct token_buckets){slots, SLOTS, INTERVAL, (uint64_t)INTERVAL * BURST};
}

static uint64_t
key_of(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* How many of `tries` are let through. */
static unsigned
take_many(const struct token_buckets *rate, uint64_t key, uint64_t now_ms, unsigned tries)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < tries; i++)
        taken += token_bucket_take(rate, key, now_ms) == 0;
    return taken;
}

static void
test_a_burst_goes_through_and_no_more(void **state)
{
    struct token_buckets rate = rate_new();

    (void)state;
    assert_int_equal(take_many(&rate, key_of(1), 5000, 200), BURST);
    assert_int_equal(token_bucket_take(&rate, key_of(1), 5000), INTERVAL * BURST);
    /* Another is not concerned. */
    assert_int_equal(take_many(&rate, key_of(2), 5000, 200), BURST);
}

static void
test_tokens_come_back_one_by_one(void **state)
{
    struct token_buckets rate = rate_new();
    uint64_t now = 5000;

    (void)state;
    take_many(&rate, key_of(1), now, BURST);
    for (int i = 0; i < 200; i++) {
        assert_int_not_equal(token_bucket_take(&rate, key_of(1), now + INTERVAL - 1), 0);
        now += INTERVAL;
        assert_int_equal(take_many(&rate, key_of(1), now, 3), 1);
    }
}

/* After the wait that a refusal returns, the key has its whole burst again and no more. */
static void
test_the_wait_fills_the_bucket(void **state)
{
    struct token_buckets rate = rate_new();

    (void)state;
    for (unsigned taken = 0; taken <= BURST; taken++) {
        uint64_t now = 1000000 * (taken + 1);
        take_many(&rate, key_of(7), now, BURST);
        now += (uint64_t)INTERVAL * taken;
        assert_int_equal(take_many(&rate, key_of(7), now, 2 * BURST), taken);
        uint64_t wait = token_bucket_take(&rate, key_of(7), now);
        assert_int_equal(wait, INTERVAL * BURST);
        assert_int_equal(take_many(&rate, key_of(7), now + wait, 2 * BURST), BURST);
    }
}

/* In any minute at most the burst and what comes back in it. */
static void
test_over_a_long_time_the_rate_holds(void **state)
{
    struct token_buckets rate = rate_new();
    unsigned taken = 0;

    (void)state;
    for (uint64_t now = 1; now <= 3600000; now += 37)
        taken += token_bucket_take(&rate, key_of(3), now) == 0;
    assert_in_range(taken, 3600, 3600 + BURST);
}

static void
test_a_refused_one_costs_nothing(void **state)
{
    struct token_buckets rate = rate_new();

    (void)state;
    take_many(&rate, key_of(1), 1000, 100000);
    assert_int_equal(token_bucket_take(&rate, key_of(1), 1000 + INTERVAL), 0);
}

static void
test_what_is_full_again_is_forgotten(void **state)
{
    struct token_buckets rate = rate_new();

    (void)state;
    /* Far more keys than places, but each at a time when those before it are full again. */
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(take_many(&rate, key_of(i), (i + 1) * INTERVAL * BURST, 200),
                         BURST);
}

/* Sixteen places of a key: the seventeenth key forgets the bucket nearest to full. */
static void
test_in_a_full_table_the_fullest_bucket_goes(void **state)
{
    _Atomic uint64_t few[TOKEN_BUCKET_WINDOW] = {0};
    struct token_buckets rate = {few, TOKEN_BUCKET_WINDOW, INTERVAL,
                                 (uint64_t)INTERVAL * BURST};

    (void)state;
    for (uint64_t i = 0; i < TOKEN_BUCKET_WINDOW; i++)
        take_many(&rate, key_of(i), 1000, i == 5 ? 2 : 10 + (unsigned)i);
    assert_int_equal(take_many(&rate, key_of(99), 1000, 200), BURST);
    for (uint64_t i = 0; i < TOKEN_BUCKET_WINDOW; i++) {
        if (i != 5)
            assert_int_equal(take_many(&rate, key_of(i), 1000, 200), BURST - 10 - i);
    }
}

static void
test_the_rarest_and_the_most_frequent(void **state)
{
    struct token_buckets rate = rate_new();

    (void)state;
    rate.interval_ms = rate.depth_ms = 60000; /* 1 a minute */
    assert_int_equal(take_many(&rate, key_of(1), 1, 10), 1);
    assert_int_equal(token_bucket_take(&rate, key_of(1), 60000), 1);
    assert_int_equal(token_bucket_take(&rate, key_of(1), 60001), 0);
    rate.interval_ms = 1; /* 60000 a minute */
    assert_int_equal(take_many(&rate, key_of(2), 1, 100000), 60000);
}

/* Processes that share a bucket get together what one would. */
static void
test_processes_share_a_bucket(void **state)
{
    enum { CHILDREN = 4, TRIES = 20000 };
    size_t bytes = SLOTS * sizeof(uint64_t) + sizeof(_Atomic unsigned);
    void *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct token_buckets rate = {shared, SLOTS, 1, 30000};
    _Atomic unsigned *taken = (void *)((char *)shared + SLOTS * sizeof(uint64_t));

    (void)state;
    assert_true(shared != MAP_FAILED);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            atomic_fetch_add(taken, take_many(&rate, key_of(1), 1, TRIES));
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_int_equal(*taken, 30000);
    munmap(shared, bytes);
}

static void
test_a_rate_of_its_own_has_its_burst_and_its_key(void **state)
{
    static struct token_rate one, other;
    struct error error;

    (void)state;
    assert_int_equal(token_rate_init(&one, 500, 4, &error), 0);
    assert_int_equal(token_rate_init(&other, 500, 4, &error), 0);
    assert_int_equal(take_many(&one.buckets, key_of(1), 5000, 9), 4);
    assert_int_equal(take_many(&one.buckets, key_of(1), 5500, 9), 1);
    assert_int_equal(take_many(&other.buckets, key_of(1), 5000, 9), 4);
    assert_int_not_equal(hash_bytes(&one.key, "ann", 3), hash_bytes(&other.key, "ann", 3));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_goes_through_and_no_more),
        cmocka_unit_test(test_tokens_come_back_one_by_one),
        cmocka_unit_test(test_the_wait_fills_the_bucket),
        cmocka_unit_test(test_over_a_long_time_the_rate_holds),
        cmocka_unit_test(test_a_refused_one_costs_nothing),
        cmocka_unit_test(test_what_is_full_again_is_forgotten),
        cmocka_unit_test(test_in_a_full_table_the_fullest_bucket_goes),
        cmocka_unit_test(test_the_rarest_and_the_most_frequent),
        cmocka_unit_test(test_processes_share_a_bucket),
        cmocka_unit_test(test_a_rate_of_its_own_has_its_burst_and_its_key),
    };

    return RUN(tests);
}
