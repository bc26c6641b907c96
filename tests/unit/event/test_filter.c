/* test_filter.c - pattern lists, and who gets a row. */
#include "config.h"

#include "event/filter.h"

#include "../unit.h"

#define TEST_NAME "filter"

static const struct hash_key hash_key = {{1, 2}};

/* --- pattern lists ------------------------------------------------------------------- */

static void
add(struct patterns *patterns, const char *pattern)
{
    assert_int_equal(patterns_add(patterns, slice_of(pattern)), PATTERNS_OK);
}

static void
test_patterns_are_sorted_and_unique(void **state)
{
    struct patterns patterns = {0};

    (void)state;
    add(&patterns, "b");
    add(&patterns, "a*");
    add(&patterns, "c");
    add(&patterns, "b");
    assert_int_equal(patterns.count, 3);
    assert_string_equal(patterns.items[0], "a*");
    assert_string_equal(patterns.items[1], "b");
    assert_string_equal(patterns.items[2], "c");
    patterns_fini(&patterns);
    assert_int_equal(patterns.count, 0);
}

static void
test_patterns_refuse_what_cannot_be_a_channel(void **state)
{
    char longest[FILTER_PATTERN_MAX + 1];
    struct patterns patterns = {0};

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(patterns_add(&patterns, (struct slice){"", 0}), PATTERNS_EMPTY);
    assert_int_equal(
        patterns_add(&patterns, (struct slice){longest, FILTER_PATTERN_MAX + 1}),
        PATTERNS_TOO_LONG);
    assert_int_equal(patterns_add(&patterns, (struct slice){longest, FILTER_PATTERN_MAX}),
                     PATTERNS_OK);
    assert_int_equal(patterns_add(&patterns, (struct slice){"a\0b", 3}), PATTERNS_BAD_BYTE);
    assert_int_equal(patterns_add(&patterns, slice_of("a\nb")), PATTERNS_BAD_BYTE);
    assert_int_equal(patterns_add(&patterns, slice_of("a\r")), PATTERNS_BAD_BYTE);
    assert_int_equal(patterns.count, 1);
    patterns_fini(&patterns);
}

static void
test_patterns_have_a_cap(void **state)
{
    struct patterns patterns = {0};
    char name[16];

    (void)state;
    for (int i = 0; i < FILTER_PATTERNS_MAX; i++) {
        snprintf(name, sizeof name, "c%d", i);
        add(&patterns, name);
    }
    assert_int_equal(patterns_add(&patterns, slice_of("one-more")), PATTERNS_TOO_MANY);
    assert_int_equal(patterns_add(&patterns, slice_of("c5")), PATTERNS_OK);
    assert_int_equal(patterns.count, FILTER_PATTERNS_MAX);
    patterns_fini(&patterns);
}

/* What of the list is matched costs time for each row, so its count and its bytes are bounded;
 * names that are exact cost nothing. */
static void
test_patterns_that_are_not_exact_have_a_tighter_cap(void **state)
{
    static const struct {
        enum patterns_whose whose;
        int globs, exact;
        size_t bytes; /* in each glob */
        enum patterns_result result;
    } cases[] = {
        {PATTERNS_ASKED, 16, 48, 32, PATTERNS_OK},
        {PATTERNS_ASKED, 17, 0, 8, PATTERNS_TOO_MANY_GLOBS},
        {PATTERNS_ASKED, 2, 0, 256, PATTERNS_OK},
        {PATTERNS_ASKED, 16, 0, 33, PATTERNS_TOO_MANY_BYTES},
        {PATTERNS_ASKED, 0, 64, 0, PATTERNS_OK},
        {PATTERNS_GRANTED, 64, 0, 32, PATTERNS_OK},
        {PATTERNS_GRANTED, 64, 0, 33, PATTERNS_TOO_MANY_BYTES},
    };
    char text[FILTER_PATTERN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct patterns patterns = {0};
        for (int n = 0; n < cases[i].globs; n++) {
            memset(text, 'x', sizeof text);
            snprintf(text, sizeof text, "*%d", 100 + n);
            text[4] = 'x';
            text[cases[i].bytes] = '\0';
            add(&patterns, text);
        }
        for (int n = 0; n < cases[i].exact; n++) {
            snprintf(text, sizeof text, "%0250d", n);
            add(&patterns, text);
        }
        CHECK(patterns_compile(&patterns, cases[i].whose) == cases[i].result, "case %zu\n",
              i);
        patterns_fini(&patterns);
    }
}

/* Names among patterns are compared as bytes, whatever stands in the channel. */
static void
test_exact_names_are_found_among_patterns(void **state)
{
    static const char *const names[] = {"a",  "ab",       "abc", "b",  "ba",
                                        "zz", "\xC3\xA9", "m*",  "[q]"};
    struct patterns patterns = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        add(&patterns, names[i]);
    assert_int_equal(patterns_compile(&patterns, PATTERNS_ASKED), PATTERNS_OK);
    for (size_t i = 0; i < 7; i++)
        assert_true(patterns_match(&patterns, slice_of(names[i])));
    assert_true(patterns_match(&patterns, slice_of("m")));
    assert_true(patterns_match(&patterns, slice_of("q")));
    assert_false(patterns_match(&patterns, slice_of("[q]")));
    assert_false(patterns_match(&patterns, slice_of("")));
    assert_false(patterns_match(&patterns, slice_of("abcd")));
    assert_false(patterns_match(&patterns, slice_of("aa")));
    assert_false(patterns_match(&patterns, (struct slice){"a\0", 2}));
    assert_false(patterns_match(&patterns, (struct slice){NULL, 0}));
    patterns_fini(&patterns);
}

/* --- the filter ----------------------------------------------------------------------- */

/* Texts in one string, parted by spaces; NULL: not bounded. */
static struct filter
make_filter(const char *requested, const char *location, const char *ticket,
            const char *user)
{
    const char *lists[] = {requested, location, ticket};
    struct filter filter = {0};

    for (size_t i = 0; i < COUNT(lists); i++) {
        struct patterns *to = i == 0 ? &filter.requested : &filter.bounds[i - 1];
        if (i > 0)
            filter.bounded[i - 1] = lists[i] != NULL;
        for (const char *p = lists[i]; p != NULL && *p != '\0';) {
            size_t len = strcspn(p, " ");
            assert_int_equal(patterns_add(to, (struct slice){p, len}), PATTERNS_OK);
            p += len + strspn(p + len, " ");
        }
        assert_int_equal(patterns_compile(to, PATTERNS_GRANTED), PATTERNS_OK);
    }
    filter.user = user != NULL ? strdup(user) : NULL;
    return filter;
}

static void
test_a_row_needs_request_and_every_bound_and_user(void **state)
{
    static const struct {
        const char *requested, *location, *ticket, *user; /* the filter */
        const char *channel, *recipient;                  /* the row */
        bool matches;
    } cases[] = {
        {"", NULL, NULL, NULL, "orders", NULL, true},
        {"orders", NULL, NULL, NULL, "orders", NULL, true},
        {"orders", NULL, NULL, NULL, "orders.x", NULL, false},
        {"a orders.*", NULL, NULL, NULL, "orders.x", NULL, true},
        {"a orders.*", NULL, NULL, NULL, "b", NULL, false},
        {"", "orders.*", NULL, NULL, "orders.x", NULL, true},
        {"", "orders.*", NULL, NULL, "stock", NULL, false},
        {"*", "orders.*", NULL, NULL, "stock", NULL, false},
        {"orders.*", "*.public", NULL, NULL, "orders.public", NULL, true},
        {"orders.*", "*.public", NULL, NULL, "orders.secret", NULL, false},
        {"*", "*.public", "orders.*", NULL, "orders.public", NULL, true},
        {"*", "*.public", "orders.*", NULL, "stock.public", NULL, false},
        {"*", "", NULL, NULL, "orders", NULL, false},
        {"*", NULL, "", "alice", "orders", "alice", false},
        {"", NULL, NULL, NULL, "orders", "alice", false},
        {"", NULL, NULL, "alice", "orders", "alice", true},
        {"", NULL, NULL, "alice", "orders", "Alice", false},
        {"", NULL, NULL, "alice", "orders", "alice2", false},
        {"", NULL, NULL, "alice", "orders", "", false},
        {"", NULL, NULL, NULL, "orders", "", false},
        {"", NULL, NULL, "alice", "orders", NULL, true},
        {"", NULL, NULL, NULL, NULL, NULL, true},
        {"*", NULL, NULL, NULL, NULL, NULL, false},
        {"", "*", NULL, NULL, NULL, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct filter filter = make_filter(cases[i].requested, cases[i].location,
                                           cases[i].ticket, cases[i].user);
        bool matches = filter_matches(&filter, slice_of(cases[i].channel),
                                      slice_of(cases[i].recipient));
        CHECK(matches == cases[i].matches, "case %zu\n", i);
        filter_fini(&filter);
    }
}

static void
test_recipient_with_a_nul_is_not_its_prefix(void **state)
{
    struct filter filter = make_filter("orders", NULL, NULL, "alice");

    (void)state;
    assert_false(filter_matches(&filter, slice_of("orders"), (struct slice){"alice\0", 6}));
    assert_false(filter_matches(&filter, (struct slice){"orders\0x", 8}, slice_of(NULL)));
    filter_fini(&filter);
}

static void
test_equal_filters_are_equal_and_hash_alike(void **state)
{
    static const struct {
        const char *requested, *location, *ticket, *user;
    } kinds[] = {
        {"", NULL, NULL, NULL},  {"", "", NULL, NULL},      {"", NULL, "", NULL},
        {"a", NULL, NULL, NULL}, {"a b", NULL, NULL, NULL}, {"ab", NULL, NULL, NULL},
        {"a", "b", NULL, NULL},  {"a", NULL, "b", NULL},    {"", "a b", NULL, NULL},
        {"a", NULL, NULL, "u"},  {"a", NULL, NULL, "v"},    {"", NULL, NULL, "a"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct filter a = make_filter(kinds[i].requested, kinds[i].location,
                                      kinds[i].ticket, kinds[i].user);
        for (size_t j = 0; j < COUNT(kinds); j++) {
            struct filter b = make_filter(kinds[j].requested, kinds[j].location,
                                          kinds[j].ticket, kinds[j].user);
            CHECK(filter_equal(&a, &b) == (i == j), "kinds %zu and %zu\n", i, j);
            CHECK((filter_hash(&a, &hash_key) == filter_hash(&b, &hash_key)) == (i == j),
                  "hashes %zu and %zu\n", i, j);
            filter_fini(&b);
        }
        filter_fini(&a);
    }
}

static void
test_order_of_request_does_not_matter(void **state)
{
    struct filter a = make_filter("x y z", NULL, NULL, NULL);
    struct filter b = make_filter("z x y x", NULL, NULL, NULL);

    (void)state;
    assert_true(filter_equal(&a, &b));
    assert_true(filter_hash(&a, &hash_key) == filter_hash(&b, &hash_key));
    filter_fini(&a);
    filter_fini(&b);
}

static void
test_a_bound_that_is_off_is_not_looked_at(void **state)
{
    struct filter a = make_filter("x", NULL, NULL, NULL);
    struct filter b = make_filter("x", "nothing", NULL, NULL);

    (void)state;
    b.bounded[FILTER_BOUND_LOCATION] = false;
    assert_true(filter_equal(&a, &b));
    assert_true(filter_hash(&a, &hash_key) == filter_hash(&b, &hash_key));
    assert_true(filter_bounds_allow(&b, slice_of("x")));
    filter_fini(&a);
    filter_fini(&b);
}

static void
test_exactness_and_moving(void **state)
{
    struct filter none = {0};
    struct filter exact = make_filter("a b", NULL, NULL, "u");
    struct filter mixed = make_filter("a b*", NULL, NULL, NULL);
    struct filter moved;

    (void)state;
    assert_false(filter_is_exact(&none));
    assert_true(filter_is_exact(&exact));
    assert_false(filter_is_exact(&mixed));
    filter_move(&moved, &exact);
    assert_int_equal(moved.requested.count, 2);
    assert_string_equal(moved.user, "u");
    assert_int_equal(exact.requested.count, 0);
    assert_null(exact.user);
    filter_fini(&exact);
    filter_fini(&moved);
    filter_fini(&mixed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_are_sorted_and_unique),
        cmocka_unit_test(test_patterns_refuse_what_cannot_be_a_channel),
        cmocka_unit_test(test_patterns_have_a_cap),
        cmocka_unit_test(test_patterns_that_are_not_exact_have_a_tighter_cap),
        cmocka_unit_test(test_exact_names_are_found_among_patterns),
        cmocka_unit_test(test_a_row_needs_request_and_every_bound_and_user),
        cmocka_unit_test(test_recipient_with_a_nul_is_not_its_prefix),
        cmocka_unit_test(test_equal_filters_are_equal_and_hash_alike),
        cmocka_unit_test(test_order_of_request_does_not_matter),
        cmocka_unit_test(test_a_bound_that_is_off_is_not_looked_at),
        cmocka_unit_test(test_exactness_and_moving),
    };
    return RUN(tests);
}
