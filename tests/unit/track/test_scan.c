/* test_scan.c - what --where may say, and the parts of an index. */
#include "config.h"

#include "track/internal.h"

#include "../unit.h"

#define TEST_NAME "scan"

static void
test_conditions_of_the_row_alone_are_taken(void **state)
{
    static const char *const good[] = {
        "a = 1",
        "state IN ('a', 'b')",
        "a NOT IN (1, 2) AND (b IS NULL OR b <> 'x''y(')",
        "coalesce(a, 0) BETWEEN 1 AND 2",
        "CASE WHEN a THEN b ELSE c END",
        "CAST(a AS INTEGER) > 1.5e3",
        "\"select\" = 1",
        "name GLOB '*(?'",
        "[in] = `x``y`",
        "iif(length(trim(a)) > 0, 1, 0)",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct error error = {""};
        CHECK(track_scan_where(good[i], &error) == 0, "%s: %s\n", good[i], error.text);
    }
}

static void
test_what_looks_elsewhere_or_may_fail_is_refused(void **state)
{
    static const char *const bad[] = {
        "id IN (SELECT 1)",
        "id IN other",
        "id IN \"other\"",
        "id IN main.other",
        "id in/**/other",
        "EXISTS (VALUES (1))",
        "a LIKE 'x'",
        "a GLOB b",
        "random() > 0",
        "abs(a) > 1",
        "a -> '$.b'",
        "a ->> '$.b'",
        "?1",
        ":a",
        "@a",
        "$a",
        "1; DROP TABLE t",
        "1) OR (1",
        "((1)",
        "1 -- x",
        "1 /* x */",
        "raise(ABORT, 'x')",
        "a MATCH 'x'",
        "current_timestamp > a",
        "json_extract(a, '$')",
        "a REGEXP 'b'",
        "load_extension('x')",
        "\"abs\"(a)",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error error = {""};
        CHECK(track_scan_where(bad[i], &error) != 0, "%s was taken\n", bad[i]);
        assert_true(error.text[0] != '\0');
    }
}

static bool
is_text(struct slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.p, text, slice.len) == 0;
}

static void
test_an_index_is_cut_where_its_parts_end(void **state)
{
    struct track_index_text text;

    (void)state;
    assert_true(track_scan_index(
        "CREATE UNIQUE INDEX \"a (,\" ON t(lower(u) /* , ( */ COLLATE NOCASE DESC, "
        "coalesce(j, 'a,)') ASC) WHERE u > ',' -- end",
        &text));
    assert_int_equal(text.count, 2);
    assert_true(is_text(text.parts[0], "lower(u) /* , ( */ COLLATE NOCASE"));
    assert_true(is_text(text.parts[1], "coalesce(j, 'a,)')"));
    assert_true(is_text(text.where, "u > ',' -- end"));
    assert_true(track_scan_index("CREATE UNIQUE INDEX i ON t(a)", &text));
    assert_int_equal(text.count, 1);
    assert_null(text.where.p);
    assert_false(track_scan_index("CREATE UNIQUE INDEX i ON t(a", &text));
    assert_false(track_scan_index("", &text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_of_the_row_alone_are_taken),
        cmocka_unit_test(test_what_looks_elsewhere_or_may_fail_is_refused),
        cmocka_unit_test(test_an_index_is_cut_where_its_parts_end),
    };

    return RUN(tests);
}
