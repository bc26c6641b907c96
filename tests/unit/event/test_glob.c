/* test_glob.c - compiled patterns against SQLite's own GLOB, one at a time and many at once,
 * and what the worst of them cost. */
#include "config.h"

#include "event/glob.h"

#include <sqlite3.h>
#include <time.h>

#include "../unit.h"

#define TEST_NAME "glob"

static struct globs *
compile(const char *pattern)
{
    struct globs *globs = globs_compile(&pattern, 1);

    assert_non_null(globs);
    return globs;
}

static bool
glob_matches(const char *pattern, struct slice text)
{
    struct globs *globs = compile(pattern);
    bool matches = globs_match(globs, text);

    globs_free(globs);
    return matches;
}

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
        struct globs *globs = compile(pattern);
        for (unsigned t = 0; nth_text(text, t, text_letters, text_letter_count, text_len);
             t++) {
            bool ours = globs_match(globs, slice_of(text));
            CHECK(ours == sqlite_says(pattern, text), "%s GLOB %s: ours says %d\n", text,
                  pattern, ours);
        }
        globs_free(globs);
    }
}

static void
test_a_pattern_is_sqlites(void **state)
{
    static const char *const pattern_letters[] = {"a", "b", "*", "?",       "[",
                                                  "]", "^", "-", "\xC3\xA9"};
    static const char *const text_letters[] = {"a", "b", "]", "-", "^", "\xC3\xA9"};

    (void)state;
    compare_all(pattern_letters, COUNT(pattern_letters), 5, text_letters,
                COUNT(text_letters), 3);
}

static void
test_stars_are_sqlites(void **state)
{
    static const char *const pattern_letters[] = {"a", "b", "*", "?"};
    static const char *const text_letters[] = {"a", "b"};

    (void)state;
    compare_all(pattern_letters, COUNT(pattern_letters), 6, text_letters,
                COUNT(text_letters), 7);
}

static void
test_sets_are_sqlites(void **state)
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
test_sets_with_ranges_are_sqlites(void **state)
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
test_text_may_hold_nul_and_bad_utf8(void **state)
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
test_exact_patterns_are_distinguished(void **state)
{
    (void)state;
    assert_true(glob_is_exact("orders.paid"));
    assert_true(glob_is_exact("a]^-b"));
    assert_false(glob_is_exact("orders.*"));
    assert_false(glob_is_exact("order?"));
    assert_false(glob_is_exact("[a]"));
}

/* --- many at once -------------------------------------------------------------------- */

static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16 & 0x7fff;
}

static void
random_text(char *text, unsigned *seed, const char *const *letters, unsigned letter_count,
            unsigned max_len)
{
    text[0] = '\0';
    for (unsigned len = 1 + next_random(seed) % max_len; len > 0; len--)
        strcat(text, letters[next_random(seed) % letter_count]);
}

/* Lists that go over several words of 64 places: one of the patterns matches, or none does. */
static void
test_a_list_matches_what_one_of_it_does(void **state)
{
    static const char *const letters[] = {"a", "b", "*",        "?", "[", "]",
                                          "^", "-", "\xC3\xA9", "a", "b"};
    static const char *const text_letters[] = {"a", "b", "]", "\xC3\xA9"};
    char texts[16][40];
    const char *patterns[16];
    unsigned seed = 1;
    size_t matched = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t count = 1 + next_random(&seed) % COUNT(patterns);
        char text[24];
        bool expected = false;
        random_text(text, &seed, text_letters, COUNT(text_letters), 8);
        for (size_t i = 0; i < count; i++) {
            random_text(texts[i], &seed, letters, COUNT(letters), 16);
            patterns[i] = texts[i];
            expected = expected || sqlite_says(patterns[i], text);
        }
        struct globs *globs = globs_compile(patterns, count);
        bool ours = globs_match(globs, slice_of(text));
        CHECK(ours == expected, "round %d: ours says %d of %s\n", round, ours, text);
        globs_free(globs);
        matched += ours;
    }
    assert_in_range(matched, 1000, 19000);
}

/* --- what it costs ------------------------------------------------------------------- */

/* Patterns that made a matcher which tries again after each star slow: 25 us to 2 ms a row. */
static const char *const slow[] = {
    "*??????????????????b",
    "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
    "*[a-z][a-z][a-z][a-z][a-z][a-z][a-z]b",
    "[^-0-9A-Z_.:;,!#$%&'()+/<=>@]*[^-0-9A-Z_.:;,!#$%&'()+/<=>@]*b",
    "*[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]*b",
    "*\xC3\xA4*[\xC3\xA4-\xC3\xBC]*b",
};

/* A list of `bytes` bytes of them. */
static struct globs *
compile_slow(size_t bytes, size_t count)
{
    char texts[64][64];
    const char *patterns[64];

    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i],
                 bytes / count + 1 < sizeof texts[i] ? bytes / count + 1 : sizeof texts[i],
                 "%s", slow[i % COUNT(slow)]);
        patterns[i] = texts[i];
    }
    struct globs *globs = globs_compile(patterns, count);
    assert_non_null(globs);
    return globs;
}

static double
microseconds_a_row(const struct globs *globs, struct slice channel)
{
    enum { ROWS = 2000 };
    clock_t began = clock();

    for (int i = 0; i < ROWS; i++)
        assert_false(globs_match(globs, channel));
    return (double)(clock() - began) * 1e6 / CLOCKS_PER_SEC / ROWS;
}

/* CPU time, and ten times what it is on a slow machine. */
static void
test_the_worst_patterns_cost_microseconds(void **state)
{
    char ascii[119];
    char umlauts[119] = "";

    (void)state;
    memset(ascii, 'a', sizeof ascii);
    for (size_t i = 0; i + 1 < sizeof umlauts; i += 2)
        memcpy(umlauts + i, "\xC3\xA4", 2);
    umlauts[118] = 'c';
    struct globs *asked = compile_slow(512, 16);
    struct globs *granted = compile_slow(2048, 64);
    double us[] = {microseconds_a_row(asked, (struct slice){ascii, sizeof ascii}),
                   microseconds_a_row(asked, (struct slice){umlauts, sizeof umlauts}),
                   microseconds_a_row(granted, (struct slice){ascii, sizeof ascii})};
    print_message("# us a row: %.2f ASCII, %.2f others, %.2f for a bound\n", us[0], us[1],
                  us[2]);
    for (size_t i = 0; i < COUNT(us); i++)
        assert_true(us[i] < 50);
    globs_free(asked);
    globs_free(granted);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pattern_is_sqlites),
        cmocka_unit_test(test_stars_are_sqlites),
        cmocka_unit_test(test_sets_are_sqlites),
        cmocka_unit_test(test_sets_with_ranges_are_sqlites),
        cmocka_unit_test(test_text_may_hold_nul_and_bad_utf8),
        cmocka_unit_test(test_exact_patterns_are_distinguished),
        cmocka_unit_test(test_a_list_matches_what_one_of_it_does),
        cmocka_unit_test(test_the_worst_patterns_cost_microseconds),
    };

    return RUN(tests);
}
