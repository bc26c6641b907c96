/* test_counts.c - booked of several workers, and the limits that are made of them and of rates. */
#include "config.h"

#include "limits/limits.h"
#include "limits/counts.h"

#include "../unit.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_NAME "tally"
#define SLOTS 64
#define WORKERS 3

static _Atomic uint64_t slots[WORKERS * SLOTS];

static struct counts
counts_new(void)
{
    memset(slots, 0, sizeof slots);
    return (struct counts){slots, SLOTS, WORKERS};
}

static uint64_t
key_of(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void
test_counts_add_up_over_workers(void **state)
{
    struct counts counts = counts_new();
    size_t places[WORKERS][5];

    (void)state;
    for (size_t worker = 0; worker < WORKERS; worker++)
        for (size_t i = 0; i < 5; i++)
            places[worker][i] = counts_add(&counts, worker, key_of(i % 2));
    assert_int_equal(counts_sum(&counts, key_of(0)), 9);
    assert_int_equal(counts_sum(&counts, key_of(1)), 6);
    assert_int_equal(counts_sum(&counts, key_of(2)), 0);
    counts_drop(&counts, places[1][0]);
    counts_drop(&counts, COUNTS_NOWHERE);
    assert_int_equal(counts_sum(&counts, key_of(0)), 8);
    counts_clear(&counts, 2);
    assert_int_equal(counts_sum(&counts, key_of(0)), 5);
    assert_int_equal(counts_sum(&counts, key_of(1)), 4);
    for (size_t worker = 0; worker < 2; worker++)
        for (size_t i = worker; i < 5; i++)
            counts_drop(&counts, places[worker][i]);
    for (size_t i = 0; i < WORKERS * SLOTS; i++)
        assert_int_equal(slots[i], 0);
}

/* Names come and go; the table is the same as a plain list, whatever collides. */
static void
test_many_names_come_and_go(void **state)
{
    enum { NAMES = 40, TURNS = 100000 };
    struct counts counts = counts_new();
    size_t places[NAMES][8];
    unsigned booked[NAMES] = {0};

    (void)state;
    srandom(7);
    for (int turn = 0; turn < TURNS; turn++) {
        size_t name = (size_t)random() % NAMES;
        if (booked[name] < 8 && random() % 2 == 0) {
            size_t place = counts_add(&counts, (size_t)random() % WORKERS, key_of(name));
            assert_true(place != COUNTS_NOWHERE);
            places[name][booked[name]++] = place;
        } else if (booked[name] > 0) {
            counts_drop(&counts, places[name][--booked[name]]);
        }
        assert_int_equal(counts_sum(&counts, key_of(name)), booked[name]);
    }
}

static void
test_a_name_without_room_is_not_counted(void **state)
{
    _Atomic uint64_t few[COUNTS_WINDOW] = {0};
    struct counts counts = {few, COUNTS_WINDOW, 1};

    (void)state;
    for (uint64_t i = 0; i < COUNTS_WINDOW; i++)
        assert_true(counts_add(&counts, 0, key_of(i)) != COUNTS_NOWHERE);
    assert_true(counts_add(&counts, 0, key_of(99)) == COUNTS_NOWHERE);
    assert_int_equal(counts_sum(&counts, key_of(99)), 0);
    assert_true(counts_add(&counts, 0, key_of(3)) != COUNTS_NOWHERE);
    assert_int_equal(counts_sum(&counts, key_of(3)), 2);
}

/* --- limits --------------------------------------------------------------------------- */

static struct limits *
limits_make(const struct limits_config *config)
{
    struct limits *limits;

    assert_int_equal(limits_new(&limits, config, NULL), 0);
    return limits;
}

static bool
admits(const struct limits *limits, const struct limits_reader *reader)
{
    struct limits_hold hold;

    return limits_admit(limits, reader, &hold) == LIMITS_GRANTED;
}

static void
test_without_limits_all_are_let_in(void **state)
{
    struct limits *limits = limits_make(&(struct limits_config){.workers = 1});
    struct limits_hold hold;

    (void)state;
    assert_null(limits);
    for (int i = 0; i < 100; i++)
        assert_int_equal(
            limits_admit(limits,
                         &(struct limits_reader){.user = "ann", .address = "192.0.2.7"},
                         &hold),
            LIMITS_GRANTED);
    limits_release(limits, &hold);
    limits_forget(limits, 0);
    limits_free(limits);
}

static void
test_users_and_addresses_are_counted_apart(void **state)
{
    struct limits *limits = limits_make(
        &(struct limits_config){.per_user = 2, .per_address = 3, .workers = WORKERS});
    struct limits_reader ann = {.user = "ann", .address = "192.0.2.7"};
    struct limits_reader same_text = {.user = "192.0.2.7", .address = "192.0.2.8"};
    struct limits_reader nobody = {.worker = 1, .address = "192.0.2.7"};
    struct limits_reader nowhere = {.user = NULL, .address = NULL};
    struct limits_hold hold;

    (void)state;
    assert_int_equal(limits_admit(limits, &ann, &hold), LIMITS_GRANTED);
    assert_true(admits(limits, &ann));
    ann.worker = 2;
    assert_int_equal(limits_admit(limits, &ann, &hold), LIMITS_USER_FULL);
    assert_true(admits(limits, &nobody)); /* so that refusal has left nothing behind */
    assert_false(admits(limits, &nobody));
    assert_true(admits(limits, &same_text));
    for (int i = 0; i < 10; i++)
        assert_true(admits(limits, &nowhere));
    limits_forget(limits, 0);
    assert_true(admits(limits, &nobody));
    limits_free(limits);
}

static void
test_a_place_that_is_given_back_is_free(void **state)
{
    struct limits *limits =
        limits_make(&(struct limits_config){.per_user = 1, .per_address = 1, .workers = 2});
    struct limits_reader reader = {.worker = 1, .user = "ann", .address = "::1"};
    struct limits_hold hold;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(limits_admit(limits, &reader, &hold), LIMITS_GRANTED);
        assert_false(admits(limits, &reader));
        limits_release(limits, &hold);
        limits_release(limits, &hold); /* once is enough */
    }
    limits_free(limits);
}

static void
test_addresses_are_what_one_subscriber_has(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:0DB8:0001:0002:0::1", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"fe80::1%eth0", "fe80::1%eth1", true},
        {"fe80::1%eth0", "fe80::1", true},
        {"[2001:db8:1:2::1]", "2001:db8:1:2::9", true},
        {"[2001:db8:1:2::1]:443", "2001:db8:1:2::9", true},
        {"[fe80::1%eth0]:443", "fe80::1", true},
        {"[2001:db8:1:2::1]:443", "2001:db8:1:3::1", false},
        {"192.0.2.7:40123", "192.0.2.7", true},
        {"192.0.2.7:40123", "192.0.2.7:40124", true},
        {"192.0.2.7:40123", "192.0.2.8:40123", false},
        {"[::ffff:192.0.2.7]:1", "192.0.2.7", true},
        {"64:ff9b::192.0.2.7", "192.0.2.7", true},
        {"64:ff9b::c000:207", "64:ff9b::c000:208", false},
        {"64:ff9b:1::1", "64:ff9b:1::2", true},
        {"host:1:2", "host:1:3", false},
        {"[", "]", false},
        {"", ":", false},
        {"unix:", "unix:", true},
        {"some text", "some text ", false},
    };
    struct hash_key key;

    (void)state;
    assert_int_equal(hash_key_make(&key, NULL), 0);
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK((limits_hash_address(&key, cases[i].one) ==
               limits_hash_address(&key, cases[i].other)) == cases[i].same,
              "%s %s\n", cases[i].one, cases[i].other);
}

static void
test_requests_are_bounded_in_time(void **state)
{
    struct limits *limits =
        limits_make(&(struct limits_config){.connects_per_address = 6, .workers = 2});
    uint64_t now_ms = 1000000;

    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(limits_visit(limits, "192.0.2.7", now_ms), 0);
    assert_int_equal(limits_visit(limits, "192.0.2.7", now_ms), 60000);
    now_ms += 10000;
    assert_int_equal(limits_visit(limits, "192.0.2.7", now_ms), 0);
    assert_true(limits_visit(limits, "192.0.2.7", now_ms) > 0);
    assert_int_equal(limits_visit(limits, "192.0.2.8", now_ms), 0);
    assert_int_equal(limits_visit(limits, NULL, now_ms), 0);
    assert_int_equal(limits_visit(NULL, "192.0.2.7", now_ms), 0);
    limits_free(limits);
}

/* Workers that ask at the same time never get more than there is, and when they have ended all of
 * it is free again. */
static void
test_workers_never_get_more_than_the_limit(void **state)
{
    enum { PROCESSES = 4, TURNS = 20000, LIMIT = 3 };
    struct limits *limits = limits_make(&(struct limits_config){
        .per_user = LIMIT, .per_address = LIMIT, .workers = PROCESSES});
    void *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _Atomic int *inside = shared; /* the streams that are open, and all that were */
    struct limits_reader reader = {.user = "ann", .address = "192.0.2.7"};

    (void)state;
    assert_true(shared != MAP_FAILED);
    for (size_t worker = 0; worker < PROCESSES; worker++) {
        if (fork() != 0)
            continue;
        struct limits_hold held[2];
        reader.worker = worker;
        for (int turn = 0; turn < TURNS; turn++) {
            int got = 0;
            while (got < 2 && limits_admit(limits, &reader, &held[got]) == LIMITS_GRANTED) {
                got++;
                if (atomic_fetch_add(&inside[0], 1) >= LIMIT)
                    _exit(1);
            }
            atomic_fetch_add(&inside[1], got);
            while (got > 0) {
                atomic_fetch_sub(&inside[0], 1);
                limits_release(limits, &held[--got]);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_true(inside[1] >= TURNS); /* they did get in */
    for (int i = 0; i < LIMIT; i++)
        assert_true(admits(limits, &reader));
    assert_false(admits(limits, &reader));
    munmap(shared, 4096);
    limits_free(limits);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_add_up_over_workers),
        cmocka_unit_test(test_many_names_come_and_go),
        cmocka_unit_test(test_a_name_without_room_is_not_counted),
        cmocka_unit_test(test_without_limits_all_are_let_in),
        cmocka_unit_test(test_users_and_addresses_are_counted_apart),
        cmocka_unit_test(test_a_place_that_is_given_back_is_free),
        cmocka_unit_test(test_addresses_are_what_one_subscriber_has),
        cmocka_unit_test(test_requests_are_bounded_in_time),
        cmocka_unit_test(test_workers_never_get_more_than_the_limit),
    };

    return RUN(tests);
}
