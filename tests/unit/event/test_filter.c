/* test_filter.c - GLOB against SQLite's own, pattern lists, and who gets a row. */
#include "config.h"

#include "event/filter.h"

#include <sqlite3.h>

#include "../unit.h"

#define TEST_NAME "filter"

/* --- GLOB ---------------------------------------------------------------------------------- */

static bool
sqlite_says(const char *pattern, const char *text)
{
    return sqlite3_strglob(pattern, text) == 0;
}

/* The index-th text of at most max_len letters of the alphabet, shortest first. */
static bool
nth_text(char *out, unsigned index, const char *const *letters, unsigned letter_count,
         unsigned max_len)
{
    unsigned of_this_len = 1;

    out[0] = '\0';
    for (unsigned len = 0; len <= max_len; len++, of_this_len *= letter_count) {
        if (index >= of_this_len) {
            index -= of_this_len;
            continue;
        }
        for (unsigned i = 0; i < len; i++, index /= letter_count)
            strcat(out, letters[index % letter_count]);
        return true;
    }
    return false;
}

static void
compare_all(const char *const *pattern_letters, unsigned pattern_letter_count,
            unsigned pattern_len, const char *const *text_letters,
            unsigned text_letter_count, unsigned text_len)
{
    char pattern[64], text[64];

    for (unsigned p = 0;
         nth_text(pattern, p, pattern_letters, pattern_letter_count, pattern_len); p++) {
        for (unsigned t = 0; nth_text(text, t, text_letters, text_letter_count, text_len);
             t++) {
            bool ours = glob_matches(pattern, slice_of(text));
            CHECK(ours == sqlite_says(pattern, text), "%s GLOB %s: ours says %d\n", text,
                  pattern, ours);
        }
    }
}

static void
test_glob_is_sqlites_glob(void **state)
{
    static const char *const pattern_letters[] = {"a", "b", "*", "?",       "[",
                                                  "]", "^", "-", "\xC3\xA9"};
    static const char *const text_letters[] = {"a", "b", "]", "-", "^", "\xC3\xA9"};

    (void)state;
    compare_all(pattern_letters, COUNT(pattern_letters), 5, text_letters,
                COUNT(text_letters), 3);
}

static void
test_glob_stars_are_sqlites(void **state)
{
    static const char *const pattern_letters[] = {"a", "b", "*", "?"};
    static const char *const text_letters[] = {"a", "b"};

    (void)state;
    compare_all(pattern_letters, COUNT(pattern_letters), 6, text_letters,
                COUNT(text_letters), 7);
}

static void
test_glob_sets_are_sqlites(void **state)
{
    static const char *const pattern_letters[] = {"[", "a", "c", "-", "]", "^", "*"};
    static const char *const text_letters[] = {"a", "b", "c", "-", "]", "^", "["};

    (void)state;
    compare_all(pattern_letters, COUNT(pattern_letters), 6, text_letters,
                COUNT(text_letters), 2);
}

/* Longer sets than brute force reaches: what a range leaves behind, and where `-` and `]` are
 * themselves. */
static void
test_glob_sets_with_ranges_are_sqlites(void **state)
{
    static const char *const patterns[] = {"[a-c-e]",
                                           "[a-c-e-g]",
                                           "[a--]",
                                           "[--a]",
                                           "[^a-c-e]",
                                           "[]-a]",
                                           "[]a-c]",
                                           "[^]a-c]",
                                           "[a-]",
                                           "[-a-c]",
                                           "[a-c]-e]",
                                           "[c-a]",
                                           "[a-c^]",
                                           "[^^-a]",
                                           "[*?]",
                                           "[[-]]",
                                           "[\xC3\xA9-\xC3\xAF]",
                                           "*[a-c-e]",
                                           "[a-ce-g]?",
                                           "[a-c-e]*",
                                           "[!a-c-e]"};
    char text[8];

    (void)state;
    for (size_t i = 0; i < COUNT(patterns); i++) {
        for (int c = 1; c < 0x80; c++) {
            snprintf(text, sizeof text, "%c", c);
            CHECK(glob_matches(patterns[i], slice_of(text)) ==
                      sqlite_says(patterns[i], text),
                  "%s GLOB %s\n", text, patterns[i]);
            snprintf(text, sizeof text, "%c]\xC3\xAB", c);
            CHECK(glob_matches(patterns[i], slice_of(text)) ==
                      sqlite_says(patterns[i], text),
                  "%s GLOB %s\n", text, patterns[i]);
        }
    }
}

static void
test_glob_survives_patterns_made_to_explode(void **state)
{
    char pattern[FILTER_PATTERN_MAX + 1] = "";
    char text[20000];

    (void)state;
    for (int i = 0; i < FILTER_PATTERN_MAX / 2; i++)
        strcat(pattern, "*a");
    pattern[FILTER_PATTERN_MAX - 1] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(glob_matches(pattern, (struct slice){text, sizeof text}));
}

static void
test_glob_takes_nul_and_bad_utf8(void **state)
{
    static const struct {
        const char *pattern;
        struct slice text;
        bool matches;
    } cases[] = {
        {"a?b", {"a\0b", 3}, true},      {"a*", {"a\0b", 3}, true},
        {"a", {"a\0b", 3}, false},       {"a*b", {"a\0b", 3}, true},
        {"?", {"\xFF", 1}, true},        {"?", {"\xE2\x82", 2}, true},
        {"*", {"\xFF\xC3", 2}, true},    {"[\xC3", {"\xC3", 1}, false},
        {"[a-\xC3]", {"b", 1}, true},    {"*\xC3", {"a\xC3", 2}, true},
        {"[^\xFF]", {"\xFF", 1}, false}, {"", {"", 0}, true},
        {"*", {NULL, 0}, false},         {"\xC3\xA9?", {"\xC3\xA9\xC3", 3}, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK(glob_matches(cases[i].pattern, cases[i].text) == cases[i].matches,
              "case %zu: pattern %s\n", i, cases[i].pattern);
}

static void
test_exact_patterns_are_told_from_others(void **state)
{
    (void)state;
    assert_true(glob_is_exact("orders.paid"));
    assert_true(glob_is_exact("a]^-b"));
    assert_false(glob_is_exact("orders.*"));
    assert_false(glob_is_exact("order?"));
    assert_false(glob_is_exact("[a]"));
}

/* --- pattern lists ------------------------------------------------------------------------------ */

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

/* --- the filter ------------------------------------------------------------------------------------ */

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
            CHECK((filter_hash(&a) == filter_hash(&b)) == (i == j), "hashes %zu and %zu\n",
                  i, j);
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
    assert_true(filter_hash(&a) == filter_hash(&b));
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
    assert_true(filter_hash(&a) == filter_hash(&b));
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
        cmocka_unit_test(test_glob_is_sqlites_glob),
        cmocka_unit_test(test_glob_stars_are_sqlites),
        cmocka_unit_test(test_glob_sets_are_sqlites),
        cmocka_unit_test(test_glob_sets_with_ranges_are_sqlites),
        cmocka_unit_test(test_glob_survives_patterns_made_to_explode),
        cmocka_unit_test(test_glob_takes_nul_and_bad_utf8),
        cmocka_unit_test(test_exact_patterns_are_told_from_others),
        cmocka_unit_test(test_patterns_are_sorted_and_unique),
        cmocka_unit_test(test_patterns_refuse_what_cannot_be_a_channel),
        cmocka_unit_test(test_patterns_have_a_cap),
        cmocka_unit_test(test_a_row_needs_request_and_every_bound_and_user),
        cmocka_unit_test(test_recipient_with_a_nul_is_not_its_prefix),
        cmocka_unit_test(test_equal_filters_are_equal_and_hash_alike),
        cmocka_unit_test(test_order_of_request_does_not_matter),
        cmocka_unit_test(test_a_bound_that_is_off_is_not_looked_at),
        cmocka_unit_test(test_exactness_and_moving),
    };
    return RUN(tests);
}
