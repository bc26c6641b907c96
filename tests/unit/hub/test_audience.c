/* test_audience.c - the index from rows to audiences, held against filter_matches itself. */
#include "config.h"

#include "hub/audience.h"

#include "../unit.h"

#define TEST_NAME "audience"

#define AUDIENCES 120
#define ROUNDS 60
#define ROWS 200

/* Few enough that they meet often; some are each other's patterns, some spell a channel and a
 * user alike. */
static const char *const channels[] = {"a",        "b",    "ab", "orders", "orders.1",
                                       "orders.2", "anna", "*",  "]"};
static const char *const patterns[] = {"a",        "b",   "ab",   "orders",   "orders.1",
                                       "orders.2", "*",   "o*",   "orders.*", "?",
                                       "[ab]",     "[*]", "anna", "]",        "nothing"};
static const char *const users[] = {"anna", "bob", "", "a", "orders"};

static const struct hash_key hash_key = {{1, 2}};

static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16 & 0x7fff;
}

static void
add_random(struct patterns *to, unsigned *seed, unsigned max)
{
    for (unsigned n = next_random(seed) % (max + 1); n > 0; n--) {
        const char *pattern = patterns[next_random(seed) % COUNT(patterns)];
        assert_int_equal(patterns_add(to, slice_of(pattern)), PATTERNS_OK);
    }
}

static struct filter
random_filter(unsigned *seed)
{
    struct filter filter = {0};

    add_random(&filter.requested, seed, 3);
    assert_int_equal(patterns_compile(&filter.requested, PATTERNS_ASKED), PATTERNS_OK);
    for (int i = 0; i < FILTER_BOUNDS; i++) {
        filter.bounded[i] = next_random(seed) % 3 == 0;
        if (filter.bounded[i])
            add_random(&filter.bounds[i], seed, 3);
        patterns_compile(&filter.bounds[i], PATTERNS_GRANTED);
    }
    if (next_random(seed) % 2 == 0)
        filter.user = strdup(users[next_random(seed) % COUNT(users)]);
    return filter;
}

static struct row
random_row(unsigned *seed)
{
    struct row row = {.id = 1};

    if (next_random(seed) % 20 > 0) /* NULL: a foreign table without that column */
        row.channel = slice_of(channels[next_random(seed) % COUNT(channels)]);
    if (next_random(seed) % 2 == 0)
        row.recipient = slice_of(users[next_random(seed) % COUNT(users)]);
    return row;
}

static struct audience *
join_channel(struct audiences *audiences, const char *channel, const char *user,
             enum format format)
{
    struct filter filter = {0};

    if (channel != NULL)
        assert_int_equal(patterns_add(&filter.requested, slice_of(channel)), PATTERNS_OK);
    assert_int_equal(patterns_compile(&filter.requested, PATTERNS_ASKED), PATTERNS_OK);
    if (user != NULL)
        filter.user = strdup(user);
    struct audience *audience = audiences_join(audiences, &filter, format);
    assert_non_null(audience);
    assert_null(filter.user); /* taken over */
    assert_int_equal(filter.requested.count, 0);
    return audience;
}

/* hub/audience.c calls filter_hash by way of this (the linker's --wrap), so that a test can have
 * every filter fall on one hash. */
static bool all_hashes_collide;

uint64_t __real_filter_hash(const struct filter *filter, const struct hash_key *key);
uint64_t __wrap_filter_hash(const struct filter *filter, const struct hash_key *key);

uint64_t
__wrap_filter_hash(const struct filter *filter, const struct hash_key *key)
{
    return all_hashes_collide ? 7 : __real_filter_hash(filter, key);
}

/* Counts how often patterns were asked about a channel. */
static size_t judged;

bool __real_filter_allows_channel(const struct filter *filter, struct slice channel);
bool __wrap_filter_allows_channel(const struct filter *filter, struct slice channel);

bool
__wrap_filter_allows_channel(const struct filter *filter, struct slice channel)
{
    judged++;
    return __real_filter_allows_channel(filter, channel);
}

/* --- matching ------------------------------------------------------------------------- */

/* How often each audience was met; `refs` tells which one it is. */
struct meetings {
    struct audience *joined[AUDIENCES];
    unsigned met[AUDIENCES];
};

static void
on_match(void *arg, struct audience *audience)
{
    struct meetings *meetings = arg;

    for (size_t i = 0; i < AUDIENCES; i++)
        meetings->met[i] += meetings->joined[i] == audience;
}

static void
check_row(struct audiences *audiences, struct meetings *meetings, const struct row *row)
{
    memset(meetings->met, 0, sizeof meetings->met);
    audiences_match(audiences, row, on_match, meetings);
    for (size_t i = 0; i < AUDIENCES; i++) {
        const struct audience *audience = meetings->joined[i];
        bool expected = audience != NULL &&
                        filter_matches(&audience->filter, row->channel, row->recipient);
        CHECK(meetings->met[i] == expected,
              "audience %zu met %u times: channel %.*s recipient %.*s\n", i,
              meetings->met[i], (int)row->channel.len,
              row->channel.p != NULL ? row->channel.p : "", (int)row->recipient.len,
              row->recipient.p != NULL ? row->recipient.p : "");
    }
}

/* Audiences come and go; at each state each row meets just those whose filter lets it through,
 * each once. */
static void
test_a_row_meets_each_audience_that_it_is_for_once(void **state)
{
    (void)state;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct audiences *audiences = audiences_new(&hash_key);
        struct meetings meetings = {.joined = {NULL}};
        unsigned seed = round;
        for (int step = 0; step < 8; step++) {
            for (size_t i = 0; i < AUDIENCES; i++) {
                if (next_random(&seed) % 3 > 0)
                    continue;
                if (meetings.joined[i] != NULL) {
                    audiences_leave(audiences, meetings.joined[i]);
                    meetings.joined[i] = NULL;
                } else {
                    struct filter filter = random_filter(&seed);
                    enum format format = next_random(&seed) % FORMATS;
                    meetings.joined[i] = audiences_join(audiences, &filter, format);
                    assert_non_null(meetings.joined[i]);
                }
            }
            for (int i = 0; i < ROWS / 8; i++) {
                struct row row = random_row(&seed);
                check_row(audiences, &meetings, &row);
            }
        }
        audiences_free(audiences); /* with audiences in it */
    }
}

static void
count_call(void *arg, struct audience *audience)
{
    (void)audience;
    (*(size_t *)arg)++;
}

static void
test_a_row_without_streams_reaches_none(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);
    struct row row = {.id = 1, .channel = slice_of("a"), .recipient = slice_of("u")};
    size_t calls = 0;

    (void)state;
    audiences_match(audiences, &row, count_call, &calls);
    row.recipient.p = NULL;
    audiences_match(audiences, &row, count_call, &calls);
    row.channel.p = NULL;
    audiences_match(audiences, &row, count_call, &calls);
    audiences_each(audiences, count_call, &calls);
    assert_int_equal(calls, 0);
    audiences_free(audiences);
    audiences_free(NULL);
}

/* --- joining and leaving -------------------------------------------------------------- */

static void
test_equal_filters_and_formats_are_one_audience(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);

    (void)state;
    struct audience *first = join_channel(audiences, "a", NULL, FORMAT_SSE);
    assert_ptr_equal(join_channel(audiences, "a", NULL, FORMAT_SSE), first);
    assert_int_equal(first->refs, 2);
    assert_int_equal(audiences_count(audiences), 1);
    assert_ptr_not_equal(join_channel(audiences, "a", NULL, FORMAT_NDJSON), first);
    assert_ptr_not_equal(join_channel(audiences, "a", "anna", FORMAT_SSE), first);
    assert_ptr_not_equal(join_channel(audiences, "b", NULL, FORMAT_SSE), first);
    assert_ptr_not_equal(join_channel(audiences, NULL, NULL, FORMAT_SSE), first);
    assert_ptr_not_equal(join_channel(audiences, "a", "", FORMAT_SSE), first);
    assert_int_equal(audiences_count(audiences), 6);
    audiences_leave(audiences, first);
    assert_int_equal(audiences_count(audiences), 6);
    audiences_leave(audiences, first);
    assert_int_equal(audiences_count(audiences), 5);
    audiences_free(audiences);
}

static void
test_two_users_never_share_an_audience(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);
    struct row row = {.id = 1, .channel = slice_of("a"), .recipient = slice_of("anna")};
    struct meetings meetings = {.joined = {NULL}};

    (void)state;
    meetings.joined[0] = join_channel(audiences, "a", "anna", FORMAT_SSE);
    meetings.joined[1] = join_channel(audiences, "a", "bob", FORMAT_SSE);
    meetings.joined[2] = join_channel(audiences, "a", NULL, FORMAT_SSE);
    meetings.joined[3] = join_channel(audiences, NULL, "bob", FORMAT_SSE);
    meetings.joined[4] = join_channel(audiences, NULL, "ann", FORMAT_SSE);
    check_row(audiences, &meetings, &row);
    assert_int_equal(meetings.met[0], 1);
    for (int i = 1; i < 5; i++)
        assert_int_equal(meetings.met[i], 0);
    audiences_free(audiences);
}

/* Names that a careless comparison takes for one another. None is "": that is nobody, and
 * request_parse makes it NULL. */
static const char *const alike[] = {
    "anna",
    "Anna",
    "ANNA",
    "anna ",
    " anna",
    "anna\t",
    "ann",
    "annaa",
    "anna\n",
    "anna\1",
    "ann\xC3\xA0",
    "anna%00",
    "caf\xC3\xA9",
    "cafe\xCC\x81",
    "cafe",
    "\xC3\xA9",
    "\xE9",
    "\xD0\xB0nna",
    "anna\xE2\x80\x8B",
    "\xEF\xBB\xBF"
    "anna",
    "*",
    "a*",
    "?nna",
    "[a]nna",
    "anna@example.org",
    "anna@EXAMPLE.org",
};

/* A row for recipient `r` meets the audiences of user `r` and of nobody else. */
static void
check_alike_row(struct audiences *audiences, struct meetings *meetings, size_t r)
{
    struct row row = {.id = 1, .channel = slice_of("a"), .recipient = slice_of(alike[r])};

    memset(meetings->met, 0, sizeof meetings->met);
    audiences_match(audiences, &row, on_match, meetings);
    for (size_t i = 0; i < COUNT(alike) + 2; i++)
        CHECK(meetings->met[i] == (i == r), "row of '%s': user %zu met it %u times\n",
              alike[r], i, meetings->met[i]);
    char with_nul[64];
    row.recipient.len++; /* the NUL at its end is now a character of the name */
    memcpy(with_nul, alike[r], row.recipient.len);
    row.recipient.p = with_nul;
    memset(meetings->met, 0, sizeof meetings->met);
    audiences_match(audiences, &row, on_match, meetings);
    for (size_t i = 0; i < COUNT(alike) + 2; i++)
        assert_int_equal(meetings->met[i], 0);
}

static void
check_alike(const char *pattern)
{
    struct audiences *audiences = audiences_new(&hash_key);
    struct meetings meetings = {.joined = {NULL}};
    size_t count = COUNT(alike);

    for (size_t i = 0; i < count; i++)
        meetings.joined[i] = join_channel(audiences, pattern, alike[i], FORMAT_SSE);
    meetings.joined[count] = join_channel(audiences, pattern, NULL, FORMAT_SSE);
    meetings.joined[count + 1] = join_channel(audiences, pattern, "", FORMAT_SSE);
    assert_int_equal(audiences_count(audiences), count + 2);
    for (size_t i = 0; i < count; i++) { /* the same user again is the same audience */
        assert_ptr_equal(join_channel(audiences, pattern, alike[i], FORMAT_SSE),
                         meetings.joined[i]);
        assert_int_equal(meetings.joined[i]->refs, 2);
        check_alike_row(audiences, &meetings, i);
    }
    audiences_free(audiences);
}

static void
test_users_that_look_alike_never_share_an_audience(void **state)
{
    (void)state;
    check_alike("a");
    check_alike("*");
    check_alike(NULL);
}

/* As if every filter had the same hash: the comparison alone has to keep them apart, and finds
 * each again when it leaves. */
static void
test_a_collision_of_hashes_joins_no_streams(void **state)
{
    (void)state;
    all_hashes_collide = true;
    check_alike("a");
    check_alike(NULL);
    test_equal_filters_and_formats_are_one_audience(state);
    test_two_users_never_share_an_audience(state);
    test_a_row_meets_each_audience_that_it_is_for_once(state);
    all_hashes_collide = false;
}

static void
test_each_is_every_audience_once(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);
    size_t calls = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char channel[16];
        snprintf(channel, sizeof channel, "c%d", i);
        join_channel(audiences, channel, NULL, FORMAT_SSE);
    }
    audiences_each(audiences, count_call, &calls);
    assert_int_equal(calls, 1000);
    audiences_free(audiences);
}

/* LeakSanitizer and the count see to it that whoever has left leaves nothing behind. */
static void
test_crowds_come_and_go(void **state)
{
    static struct audience *joined[3000];
    struct audiences *audiences = audiences_new(&hash_key);
    struct row row = {.id = 1, .channel = slice_of("c7")};

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(joined); i++) {
            char channel[16];
            char user[16];
            snprintf(channel, sizeof channel, "c%zu%s", i % 700, i % 5 ? "" : "*");
            snprintf(user, sizeof user, "u%zu", i % 1100);
            joined[i] = join_channel(audiences, channel, i % 2 ? user : NULL, FORMAT_SSE);
        }
        size_t met = 0;
        audiences_match(audiences, &row, count_call, &met);
        assert_true(met > 0);
        for (size_t i = 0; i < COUNT(joined); i++) /* in another order than they came */
            audiences_leave(audiences, joined[i * 1009 % COUNT(joined)]);
        assert_int_equal(audiences_count(audiences), 0);
        met = 0;
        audiences_match(audiences, &row, count_call, &met);
        audiences_each(audiences, count_call, &met);
        assert_int_equal(met, 0);
    }
    audiences_free(audiences);
}

/* --- verdicts ------------------------------------------------------------------------- */

static void
test_a_channel_is_judged_once(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);
    struct row row = {.id = 1, .channel = slice_of("orders.7")};
    size_t calls = 0;

    (void)state;
    join_channel(audiences, "orders.*", NULL, FORMAT_SSE);
    join_channel(audiences, "*.8", NULL, FORMAT_SSE);
    struct audience *private = join_channel(audiences, "*7", "anna", FORMAT_SSE);
    judged = 0;
    for (int i = 0; i < 1000; i++)
        audiences_match(audiences, &row, count_call, &calls);
    assert_int_equal(calls, 2000);
    assert_int_equal(judged, 3);
    row.recipient = slice_of("anna");
    audiences_match(audiences, &row, count_call, &calls);
    assert_int_equal(calls, 2001);
    assert_int_equal(judged, 3);
    assert_true(audience_allows(audiences, private, &row));
    row.recipient = slice_of("bob");
    assert_false(audience_allows(audiences, private, &row));
    assert_int_equal(judged, 3);
    audiences_free(audiences);
}

/* More channels than are remembered, names too long to be, and audiences that begin anew: every
 * verdict is that of this very channel and pattern. */
static void
test_a_verdict_is_never_another_channels(void **state)
{
    static const char *const parities[] = {"*[02468]", "*[13579]"};
    struct audiences *audiences = audiences_new(&hash_key);
    struct audience *audience = join_channel(audiences, parities[0], NULL, FORMAT_SSE);
    char name[VERDICT_NAME_MAX + 10];
    unsigned parity = 0;
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t calls = 0;
        unsigned number = next_random(&seed) % (round % 2 == 0 ? 40 : 400);
        if (round % 50 == 49) { /* at the same address, perhaps */
            audiences_leave(audiences, audience);
            parity = 1 - parity;
            audience = join_channel(audiences, parities[parity], NULL, FORMAT_SSE);
        }
        snprintf(name, sizeof name, "%0*u", number % 7 == 0 ? VERDICT_NAME_MAX + 5 : 4,
                 number);
        struct row row = {.id = 1, .channel = slice_of(name)};
        audiences_match(audiences, &row, count_call, &calls);
        assert_int_equal(calls, number % 2 == parity);
    }
    audiences_free(audiences);
}

/* --- what strangers choose ------------------------------------------------------------ */

static void
test_no_choice_of_channels_makes_a_long_chain(void **state)
{
    struct audiences *audiences = audiences_new(&hash_key);
    char channel[16];
    char user[16];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(channel, sizeof channel, "%d", i);
        snprintf(user, sizeof user, "%d", i % 1000);
        join_channel(audiences, channel, user, FORMAT_SSE);
    }
    assert_in_range(audiences_longest_chain(audiences), 1, 12);
    audiences_free(audiences);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_meets_each_audience_that_it_is_for_once),
        cmocka_unit_test(test_a_row_without_streams_reaches_none),
        cmocka_unit_test(test_equal_filters_and_formats_are_one_audience),
        cmocka_unit_test(test_two_users_never_share_an_audience),
        cmocka_unit_test(test_users_that_look_alike_never_share_an_audience),
        cmocka_unit_test(test_a_collision_of_hashes_joins_no_streams),
        cmocka_unit_test(test_each_is_every_audience_once),
        cmocka_unit_test(test_crowds_come_and_go),
        cmocka_unit_test(test_a_channel_is_judged_once),
        cmocka_unit_test(test_a_verdict_is_never_another_channels),
        cmocka_unit_test(test_no_choice_of_channels_makes_a_long_chain),
    };

    return RUN(tests);
}
