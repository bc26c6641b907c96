/* test_foreign.c - tables and views that rowcast has not made. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_bench.h"

#define TEST_NAME "foreign"

static void
test_foreign_table(void **state)
{
    struct bench *bench = *state;

    bench_run(
        bench,
        "CREATE TABLE \"odd \"\"name\"(ID, Data, created_at);"
        "INSERT INTO \"odd \"\"name\" VALUES (-5, 'minus', '2025-11-22'), (3, NULL, 9),"
        "(7, 12, NULL), (8.5, 'real', 1), (9007199254740992, 'high', 1),"
        "(-9223372036854775808, 'low', 1)");
    struct store *store = bench_open_table(bench, STORE_READ, "odd \"NAME");
    struct seen seen = bench_read_all(store);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ids[0], -5);
    assert_int_equal(seen.ids[2], 7);
    struct copy copy = bench_read_copy(store);
    assert_int_equal(copy.rows, 3);
    assert_int_equal(copy.row.data.len, 2);
    assert_null(copy.row.channel.p);
    struct store_marks marks = bench_marks(store);
    assert_int_equal(marks.base, 0);
    assert_int_equal(marks.lowest, -5);
    assert_int_equal(marks.low_water, -6);
    assert_int_equal(marks.tail, 7);
    bench_run(bench, "DELETE FROM \"odd \"\"name\"");
    marks = bench_marks(store);
    assert_int_equal(marks.low_water, 0);
    assert_int_equal(marks.lowest, 1);
    assert_int_equal(marks.tail, 0);
    store_close(store);
}

/* Rows with such ids reach nobody, so such a table is no source, from the first of them on. */
static void
test_foreign_ids_are_integers(void **state)
{
    struct bench *bench = *state;
    struct store_marks marks;
    static const char *const rows[] = {
        "INSERT INTO t VALUES ('6f1c-uuid', 'x')", "INSERT INTO t VALUES (NULL, 'x')",
        "INSERT INTO t VALUES (x'00', 'x')", "INSERT INTO t VALUES (99.5, 'x')"};

    bench_run(bench, "CREATE TABLE t(id, data)");
    struct store *store = bench_open_table(bench, STORE_READ, "t");
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench_run(bench, "DELETE FROM t; INSERT INTO t VALUES (1, 'one'), (2, 'two')");
        assert_int_equal(bench_marks(store).tail, 2);
        bench_run(bench, rows[i]);
        assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_FAILED);
        CHECK(strstr(bench->error.text, "no integer") != NULL, "%s\n", bench->error.text);
    }
    store_close(store);
    bench_run(bench, "CREATE TABLE u(id TEXT PRIMARY KEY, data)");
    bench_expect_refusal(bench, STORE_READ, "u", "id of table u is declared TEXT");
}

/* The same below and above any number of ids: a text is a time in UTC, as SQLite writes it. */
static void
test_foreign_times(void **state)
{
    struct bench *bench = *state;
    static const int64_t counts[] = {10, 50000};

    bench_run(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY, data, created_at TEXT)");
    for (size_t i = 0; i < COUNT(counts); i++) {
        char sql[400];
        int64_t cursor;
        snprintf(
            sql, sizeof sql,
            "DELETE FROM t; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            "WHERE i < %lld) INSERT INTO t SELECT i, 'x', datetime('2026-11-28', "
            "printf('+%%d seconds', i)) FROM n",
            (long long)counts[i]);
        bench_run(bench, sql);
        struct store *store = bench_open_table(bench, STORE_READ, "t");
        /* 2026-11-28 00:00:05 */
        struct store_time time = {.created_at_ms = INT64_C(1795824005000),
                                  .now_ms = INT64_MAX};
        assert_int_equal(store_find_time(store, &time, &cursor, &bench->error), STORE_OK);
        assert_int_equal(cursor, 4);
        struct copy copy = bench_read_copy(store);
        assert_int_equal(copy.row.created_at, INT64_C(1795824010000));
        store_close(store);
    }
}

static void
test_foreign_keys_want_an_index(void **state)
{
    struct bench *bench = *state;
    struct seen seen = {0};
    struct store_range range = {.up_to = 9, .max_rows = 100, .collapse = true};

    bench_run(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY, data, channel, collapse_key);"
                     "INSERT INTO t VALUES (1, 'old', 'a', 'k'), (2, 'new', 'a', 'k')");
    struct store *store = bench_open_table(bench, STORE_READ, "t");
    assert_true(store_ignores_keys(store));
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 2);
    store_close(store);
    bench_run(bench, "CREATE INDEX t_key ON t(collapse_key)");
    store = bench_open_table(bench, STORE_READ, "t");
    assert_false(store_ignores_keys(store));
    seen = (struct seen){0};
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 1);
    store_close(store);
}

static void
test_foreign_view(void **state)
{
    struct bench *bench = *state;
    int64_t cursor;

    bench_run(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, words TEXT);"
                     "CREATE VIEW v AS SELECT id, words AS data FROM t;"
                     "INSERT INTO t(words) VALUES ('one'), ('two'), ('three');"
                     "ALTER TABLE t ADD COLUMN data; DELETE FROM t WHERE id <> 2");
    struct store *store = bench_open_table(bench, STORE_READ, "v");
    assert_int_equal(bench_read_all(store).count, 1);
    assert_int_equal(bench_marks(store).low_water, 1);
    assert_int_equal(bench_find_time(bench, store, 1, &cursor), STORE_OK);
    assert_int_equal(cursor, 2);
    store_close(store);
    store = bench_open_table(bench, STORE_READ, "t");
    assert_int_equal(bench_marks(store).tail, 3); /* from sqlite_sequence */
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_foreign_table), BENCH_TEST(test_foreign_ids_are_integers),
        BENCH_TEST(test_foreign_times), BENCH_TEST(test_foreign_keys_want_an_index),
        BENCH_TEST(test_foreign_view),
    };

    return RUN(tests);
}
