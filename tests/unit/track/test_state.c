/* test_state.c - the rows of a tracked table: each once and in the order of the key's index, in
 * steps of any size, none of which sorts the table. */
#include "config.h"

#include "track/internal.h"

#include "../store/store_bench.h"

#define TEST_NAME "track_state"

#define ROWS 40

/* Kinds of keys; each table has the column v, by which its rows are known. */
static const struct {
    const char *sql, *key[TRACK_KEY_MAX];
} kinds[] = {
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, v)", {"id"}},
    {"CREATE TABLE t(id, a, b, v, PRIMARY KEY(a, b DESC)) WITHOUT ROWID", {NULL}},
    {"CREATE TABLE t(id, a, b, v, PRIMARY KEY(b DESC, a))", {"a", "b"}},
    {"CREATE TABLE t(id, a NOT NULL, b NOT NULL, v, UNIQUE(b, a))", {"a", "b"}},
    {"CREATE TABLE t(id, a TEXT, b TEXT, v, PRIMARY KEY(a COLLATE NOCASE, b COLLATE "
     "RTRIM))",
     {NULL}},
    {"CREATE TABLE t(id UNIQUE, a, b, v)", {"id"}},
    {"CREATE TABLE t(id TEXT UNIQUE, a, b, v)", {"id"}},
    {"CREATE TABLE t(id, a, b, v); CREATE UNIQUE INDEX i ON t(id DESC)", {"id"}},
    {"CREATE TABLE t(id, a, b, v, PRIMARY KEY(a, b DESC, id))", {NULL}},
};

static struct track *
make_table(struct bench *bench, size_t kind, struct store **store)
{
    struct track_request request = {.table = "t"};
    struct track *track;
    struct buf said = {0};
    struct error error;
    enum track_outcome outcome;

    for (; request.key.count < TRACK_KEY_MAX && kinds[kind].key[request.key.count] != NULL;
         request.key.count++)
        request.key.items[request.key.count] = kinds[kind].key[request.key.count];
    bench_init(bench);
    bench_run(bench, kinds[kind].sql);
    *store = bench_open(bench, STORE_WRITE);
    CHECK(track_apply(*store, &request, &outcome, &said, &error) == STORE_OK, "%s: %s\n",
          kinds[kind].sql, error.text);
    assert_int_equal(track_load(*store, slice_of("T"), &track, &error), STORE_OK);
    assert_non_null(track);
    buf_fini(&said);
    return track;
}

struct seen_rows {
    size_t times[ROWS + 1];
    size_t stop_after; /* rows, in one call */
    size_t given;
};

static enum store_step
see_row(void *arg, const struct track_row *row)
{
    struct seen_rows *seen = arg;
    const char *v = strstr(row->row.p, "\"v\":");

    assert_non_null(v);
    seen->times[atoi(v + 4)]++;
    return ++seen->given % seen->stop_after == 0 ? STORE_STOP : STORE_MORE;
}

static void
check_reading(struct store *store, const struct track *track, size_t step)
{
    struct seen_rows seen = {.stop_after = step % 2 == 0 ? 3 : 1000};
    struct track_cursor cursor = {0};
    struct track_reading reading = {.track = track,
                                    .cursor = &cursor,
                                    .max_rows = step,
                                    .fn = see_row,
                                    .arg = &seen,
                                    .more = true};
    struct error error;

    while (reading.more) {
        assert_int_equal(store_begin_read(store, &error), STORE_OK);
        CHECK(track_read_rows(store, &reading, &error) == STORE_OK, "%s\n", error.text);
        store_end_read(store);
        assert_true(reading.count <= step);
    }
    for (size_t i = 1; i <= ROWS; i++)
        CHECK(seen.times[i] == 1, "row %zu came %zu times, step %zu\n", i, seen.times[i],
              step);
    track_cursor_fini(&cursor);
}

static void
check_plan(struct store *store, const struct track *track, size_t equal)
{
    char *text = track_state_text(track, equal);
    char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", text);
    sqlite3_stmt *plan = NULL;

    assert_int_equal(sqlite3_prepare_v2(store_connection(store), sql, -1, &plan, NULL),
                     SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        CHECK(strstr(detail, "TEMP B-TREE") == NULL, "%s\n%s\n", text, detail);
        CHECK(equal == TRACK_FROM_START || strncmp(detail, "SEARCH", 6) == 0, "%s\n%s\n",
              text, detail);
    }
    sqlite3_finalize(plan);
    sqlite3_free(sql);
    track_free_text(text);
}

static void
check_kind(struct bench *bench, size_t kind)
{
    struct store *store;
    struct track *track = make_table(bench, kind, &store);

    bench_run(bench,
              "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE "
              "i < 40) INSERT INTO t SELECT i, i % 3, i / 3, i FROM n");
    for (size_t step = 1; step < 50; step += 5)
        check_reading(store, track, step);
    check_plan(store, track, TRACK_FROM_START);
    for (size_t equal = 0; equal < track_key_count(track); equal++)
        check_plan(store, track, equal);
    track_free(track);
    store_close(store);
}

#define KIND_TEST(number)                                                                  \
    static void test_kind_##number(void **state)                                           \
    {                                                                                      \
        check_kind(*state, number);                                                        \
    }
KIND_TEST(0)
KIND_TEST(1)
KIND_TEST(2)
KIND_TEST(3)
KIND_TEST(4)
KIND_TEST(5)
KIND_TEST(6)
KIND_TEST(7)
KIND_TEST(8)

/* A row may go, or come, while nobody reads; those that stay come once. */
static void
test_the_row_of_the_cursor_may_be_gone(void **state)
{
    struct bench *bench = *state;
    struct store *store;
    struct track *track = make_table(bench, 1, &store);
    struct seen_rows seen = {.stop_after = 1000};
    struct track_cursor cursor = {0};
    struct track_reading reading = {
        .track = track, .cursor = &cursor, .max_rows = 1, .fn = see_row, .arg = &seen};
    struct error error;

    bench_run(
        bench,
        "INSERT INTO t VALUES (1, 1, 9, 1), (1, 1, 8, 2), (1, 1, 7, 3), (1, 2, 9, 4)");
    assert_int_equal(track_read_rows(store, &reading, &error), STORE_OK);
    bench_run(bench, "DELETE FROM t WHERE v IN (1, 2)");
    for (int i = 0; i < 3; i++)
        assert_int_equal(track_read_rows(store, &reading, &error), STORE_OK);
    assert_false(reading.more);
    assert_int_equal(seen.times[1] + seen.times[3] + seen.times[4], 3);
    assert_int_equal(seen.times[2], 0);
    track_cursor_fini(&cursor);
    track_free(track);
    store_close(store);
}

static void
test_a_long_run_without_keys_is_refused_and_not_sat_through(void **state)
{
    struct bench *bench = *state;
    struct store *store;
    struct track *track = make_table(bench, 3, &store);
    struct seen_rows seen = {.stop_after = 1000};
    struct track_cursor cursor = {0};
    struct track_reading reading = {
        .track = track, .cursor = &cursor, .max_rows = 10, .fn = see_row, .arg = &seen};
    struct error error = {""};

    track_free(track);
    store_close(store);
    bench_run(bench,
              "DROP TABLE t; CREATE TABLE t(id, a, b, v, UNIQUE(b, a));"
              "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < "
              "100000) INSERT INTO t SELECT i, NULL, i, i FROM n");
    store = bench_open(bench, STORE_READ);
    assert_int_equal(track_load(store, slice_of("t"), &track, &error), STORE_OK);
    reading.track = track;
    assert_int_equal(track_read_rows(store, &reading, &error), STORE_REFUSED);
    assert_non_null(strstr(error.text, "short steps"));
    track_cursor_fini(&cursor);
    track_free(track);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_kind_0),
        BENCH_TEST(test_kind_1),
        BENCH_TEST(test_kind_2),
        BENCH_TEST(test_kind_3),
        BENCH_TEST(test_kind_4),
        BENCH_TEST(test_kind_5),
        BENCH_TEST(test_kind_6),
        BENCH_TEST(test_kind_7),
        BENCH_TEST(test_kind_8),
        BENCH_TEST(test_the_row_of_the_cursor_may_be_gone),
        BENCH_TEST(test_a_long_run_without_keys_is_refused_and_not_sat_through),
    };

    return RUN(tests);
}
