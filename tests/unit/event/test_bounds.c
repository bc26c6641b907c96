/* test_bounds.c - "a stream gets a row only if a requested pattern and one of each bound match
 * it", by brute force: every short pattern against every short bound and every short channel,
 * held against a matcher that shares nothing with event/filter.c. No sample: where the space is
 * too large for all of it, the lengths are shorter. */
#include "config.h"

#include <sqlite3.h>

#include "access/access.h"
#include "naive_glob.h"
#include "../unit.h"

#define TEST_NAME "bounds"

#define TEXT_MAX 8

/* All texts of a set of letters, from 1 (or 0) up to some length. */
struct texts {
    char (*items)[TEXT_MAX];
    size_t count;
};

static const char pattern_letters[] = "ab*?[]^-";

static struct texts
make_texts(const char *letters, unsigned min_len, unsigned max_len)
{
    size_t radix = strlen(letters);
    size_t of_len = 1;
    struct texts texts = {NULL, 0};

    for (unsigned len = 0; len <= max_len; len++, of_len *= radix) {
        if (len < min_len)
            continue;
        texts.items = realloc(texts.items, (texts.count + of_len) * sizeof *texts.items);
        assert_non_null(texts.items);
        for (size_t n = 0; n < of_len; n++) {
            char *text = texts.items[texts.count++];
            size_t rest = n;
            for (unsigned i = 0; i < len; i++, rest /= radix)
                text[i] = letters[rest % radix];
            text[len] = '\0';
        }
    }
    return texts;
}

/* What the naive matcher says of each pattern and each channel: a row of the table for each
 * pattern. */
static bool *
make_table(const struct texts *patterns, const struct texts *channels)
{
    bool *table = malloc(patterns->count * channels->count);

    assert_non_null(table);
    for (size_t p = 0; p < patterns->count; p++)
        for (size_t c = 0; c < channels->count; c++)
            table[p * channels->count + c] =
                naive_glob(patterns->items[p], channels->items[c]);
    return table;
}

/* Each text as a list of its own. */
static struct patterns *
make_lists(const struct texts *texts)
{
    struct patterns *lists = calloc(texts->count, sizeof *lists);

    assert_non_null(lists);
    for (size_t i = 0; i < texts->count; i++) {
        assert_int_equal(patterns_add(&lists[i], slice_of(texts->items[i])), PATTERNS_OK);
        assert_int_equal(patterns_compile(&lists[i], PATTERNS_GRANTED), PATTERNS_OK);
    }
    return lists;
}

static void
free_lists(struct patterns *lists, size_t count)
{
    for (size_t i = 0; i < count; i++)
        patterns_fini(&lists[i]);
    free(lists);
}

/* --- the matcher itself --------------------------------------------------------------- */

static void
test_the_naive_matcher_is_sqlites(void **state)
{
    struct texts patterns = make_texts(pattern_letters, 1, 4);
    struct texts channels = make_texts("ab]^-[*?", 0, 3);

    (void)state;
    for (size_t p = 0; p < patterns.count; p++) {
        for (size_t c = 0; c < channels.count; c++) {
            const char *pattern = patterns.items[p];
            const char *channel = channels.items[c];
            bool sqlite = sqlite3_strglob(pattern, channel) == 0;
            CHECK(naive_glob(pattern, channel) == sqlite, "%s GLOB %s: SQLite says %d\n",
                  channel, pattern, sqlite);
        }
    }
    free(patterns.items);
    free(channels.items);
}

/* --- a requested pattern and a bound -------------------------------------------------- */

struct space {
    struct texts requested, bounds, channels;
    struct patterns *requested_lists, *bound_lists;
    bool *requested_table, *bounds_table;
};

static void
space_init(struct space *space, unsigned requested_len, unsigned bound_len)
{
    space->requested = make_texts(pattern_letters, 1, requested_len);
    space->bounds = make_texts(pattern_letters, 1, bound_len);
    space->channels = make_texts("ab]-", 0, 3);
    space->requested_lists = make_lists(&space->requested);
    space->bound_lists = make_lists(&space->bounds);
    space->requested_table = make_table(&space->requested, &space->channels);
    space->bounds_table = make_table(&space->bounds, &space->channels);
}

static void
space_fini(struct space *space)
{
    free_lists(space->requested_lists, space->requested.count);
    free_lists(space->bound_lists, space->bounds.count);
    free(space->requested.items);
    free(space->bounds.items);
    free(space->channels.items);
    free(space->requested_table);
    free(space->bounds_table);
}

static void
check_pair(const struct space *space, const struct filter *filter, size_t r, size_t b)
{
    const bool *asked = space->requested_table + r * space->channels.count;
    const bool *allowed = space->bounds_table + b * space->channels.count;

    for (size_t c = 0; c < space->channels.count; c++) {
        const char *channel = space->channels.items[c];
        bool got = filter_matches(filter, slice_of(channel), (struct slice){NULL, 0});
        CHECK(got == (asked[c] && allowed[c]), "asked %s, bound %s, row in '%s': got %d\n",
              space->requested.items[r], space->bounds.items[b], channel, got);
    }
}

/* A channel by its name is refused at once, if and only if the bound is without it. */
static void
check_refusal(const struct filter *filter, const char *requested, const char *bound)
{
    struct request request = {.resource = RESOURCE_STREAM, .filter = *filter};
    struct error error = {""};
    bool exact = strpbrk(requested, "*?[") == NULL;
    bool outside = exact && !naive_glob(bound, requested);

    const struct access_rules no_tickets = {0};
    int status = access_check(&request, &no_tickets, 0, &error);
    CHECK(status == (outside ? 403 : 0), "asked %s, bound %s: status %d\n", requested,
          bound, status);
}

static void
check_space(unsigned requested_len, unsigned bound_len, enum filter_bound which)
{
    struct space space;

    space_init(&space, requested_len, bound_len);
    for (size_t r = 0; r < space.requested.count; r++) {
        for (size_t b = 0; b < space.bounds.count; b++) {
            const char *requested = space.requested.items[r];
            const char *bound = space.bounds.items[b];
            struct filter filter = {.requested = space.requested_lists[r]};
            filter.bounds[which] = space.bound_lists[b];
            filter.bounded[which] = true;
            check_pair(&space, &filter, r, b);
            check_refusal(&filter, requested, bound);
        }
    }
    space_fini(&space);
}

static void
test_a_row_matches_what_was_asked_and_the_location(void **state)
{
    (void)state;
    check_space(3, 3, FILTER_BOUND_LOCATION);
}

static void
test_longer_patterns_reach_no_further(void **state)
{
    (void)state;
    check_space(4, 2, FILTER_BOUND_LOCATION);
    check_space(2, 4, FILTER_BOUND_LOCATION);
}

static void
test_the_tickets_bound_is_one_like_the_locations(void **state)
{
    (void)state;
    check_space(2, 3, FILTER_BOUND_TICKET);
}

/* --- two bounds ----------------------------------------------------------------------- */

static void
check_triple(const struct space *space, size_t r, size_t location, size_t ticket)
{
    const char *requested = space->requested.items[r];
    const char *bounds[] = {space->bounds.items[location], space->bounds.items[ticket]};
    struct filter filter = {
        .requested = space->requested_lists[r],
        .bounds = {space->bound_lists[location], space->bound_lists[ticket]},
        .bounded = {true, true}};
    size_t count = space->channels.count;

    for (size_t c = 0; c < count; c++) {
        bool expected = space->requested_table[r * count + c] &&
                        space->bounds_table[location * count + c] &&
                        space->bounds_table[ticket * count + c];
        bool got = filter_matches(&filter, slice_of(space->channels.items[c]),
                                  (struct slice){NULL, 0});
        CHECK(got == expected, "asked %s, bounds %s and %s, row in '%s': got %d\n",
              requested, bounds[0], bounds[1], space->channels.items[c], got);
    }
}

static void
test_two_bounds_both_count(void **state)
{
    struct space space;

    (void)state;
    space_init(&space, 2, 2);
    for (size_t r = 0; r < space.requested.count; r++)
        for (size_t l = 0; l < space.bounds.count; l++)
            for (size_t t = 0; t < space.bounds.count; t++)
                check_triple(&space, r, l, t);
    space_fini(&space);
}

/* --- lists of several, and of none ---------------------------------------------------- */

static void
test_one_of_each_list_is_enough_and_none_of_a_bound_is_nothing(void **state)
{
    struct texts patterns = make_texts(pattern_letters, 1, 2);
    struct texts channels = make_texts("ab]-", 0, 3);

    (void)state;
    for (size_t first = 0; first < patterns.count; first++) {
        for (size_t second = 0; second < patterns.count; second++) {
            struct filter filter = {.bounded = {true, false}};
            patterns_add(&filter.bounds[0], slice_of(patterns.items[first]));
            patterns_add(&filter.bounds[0], slice_of(patterns.items[second]));
            patterns_compile(&filter.bounds[0], PATTERNS_GRANTED);
            struct filter nothing = {.requested = filter.bounds[0], .bounded = {true}};
            for (size_t c = 0; c < channels.count; c++) {
                struct slice channel = slice_of(channels.items[c]);
                struct slice everyone = {NULL, 0};
                bool expected = naive_glob(patterns.items[first], channels.items[c]) ||
                                naive_glob(patterns.items[second], channels.items[c]);
                assert_int_equal(filter_matches(&filter, channel, everyone), expected);
                assert_false(filter_matches(&nothing, channel, everyone));
            }
            filter_fini(&filter);
        }
    }
    free(patterns.items);
    free(channels.items);
}

/* --- recipients ----------------------------------------------------------------------- */

/* A recipient only ever takes away: no user gets a row outside of the bound because it is hers, and
 * nobody gets another's because it is inside. */
static void
test_a_recipient_is_one_condition_more(void **state)
{
    struct texts names = make_texts("aAb ", 0, 3);
    struct patterns everything = {0};
    struct patterns bound = {0};

    (void)state;
    patterns_add(&everything, slice_of("*"));
    patterns_compile(&everything, PATTERNS_ASKED);
    patterns_add(&bound, slice_of("a*"));
    patterns_compile(&bound, PATTERNS_GRANTED);
    for (size_t u = 0; u < names.count; u++) {
        for (size_t r = 0; r < names.count; r++) {
            struct filter filter = {.requested = everything,
                                    .bounds = {bound},
                                    .bounded = {true},
                                    .user = names.items[u]};
            struct slice recipient = slice_of(names.items[r]);
            assert_int_equal(filter_matches(&filter, slice_of("ab"), recipient), u == r);
            assert_false(filter_matches(&filter, slice_of("b"), recipient));
            filter.user = NULL;
            assert_false(filter_matches(&filter, slice_of("ab"), recipient));
        }
    }
    patterns_fini(&everything);
    patterns_fini(&bound);
    free(names.items);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_naive_matcher_is_sqlites),
        cmocka_unit_test(test_a_row_matches_what_was_asked_and_the_location),
        cmocka_unit_test(test_longer_patterns_reach_no_further),
        cmocka_unit_test(test_the_tickets_bound_is_one_like_the_locations),
        cmocka_unit_test(test_two_bounds_both_count),
        cmocka_unit_test(test_one_of_each_list_is_enough_and_none_of_a_bound_is_nothing),
        cmocka_unit_test(test_a_recipient_is_one_condition_more),
    };

    return RUN(tests);
}
