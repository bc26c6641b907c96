/* test_rows.c - reading rows: ranges, filters, collapsing, marks, time. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_bench.h"

#define TEST_NAME "rows"

/* --- ranges -------------------------------------------------------------------------- */

static void
test_range_is_bounded_on_both_sides(void **state)
{
    struct bench *bench = *state;
    int64_t ids[6];

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = bench_insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    bench_read_into(
        store, &seen,
        (struct store_range){.after = ids[0], .up_to = ids[3], .max_rows = 100});
    assert_int_equal(seen.count, 3);
    assert_memory_equal(seen.ids, ids + 1, 3 * sizeof *ids);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);

    seen = (struct seen){0};
    bench_read_into(
        store, &seen,
        (struct store_range){.after = ids[5], .up_to = ids[5] + 10, .max_rows = 100});
    assert_int_equal(seen.count, 0);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[5] + 10);

    seen = (struct seen){0};
    bench_read_into(
        store, &seen,
        (struct store_range){.after = ids[3], .up_to = ids[2], .max_rows = 100});
    assert_int_equal(seen.count, 0);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);
    store_close(store);
}

static void
test_range_goes_on_where_it_stopped(void **state)
{
    struct bench *bench = *state;
    int64_t ids[6];

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = bench_insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    struct store_range range = {.after = 0, .up_to = ids[5], .max_rows = 4};
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 4);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);
    range.after = seen.progress.last;
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 6);
    assert_true(seen.progress.complete);
    assert_memory_equal(seen.ids, ids, sizeof ids);

    seen = (struct seen){.stop_after = 2};
    range.after = 0;
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 2);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[1]);
    store_close(store);
}

static void
test_bytes_come_as_they_are(void **state)
{
    struct bench *bench = *state;
    static const char bytes[] = "a\0b\r\n\xff";

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_insert(store, (struct row){.data = {bytes, sizeof bytes - 1}, .expires_at = 77});
    struct copy copy = bench_read_copy(store);
    assert_int_equal(copy.row.data.len, sizeof bytes - 1);
    assert_memory_equal(copy.data, bytes, sizeof bytes - 1);
    assert_string_equal(copy.channel, "default");
    assert_null(copy.row.event.p);
    assert_null(copy.row.recipient.p);
    assert_null(copy.row.collapse_key.p);
    assert_int_equal(copy.row.expires_at, 77);
    assert_true(copy.row.created_at > INT64_C(1700000000000));

    bench_run(bench, "UPDATE notification SET data = x'00ff'");
    copy = bench_read_copy(store);
    assert_int_equal(copy.row.data_bytes, 2);
    assert_memory_equal(copy.data, "\0\xff", 2);
    bench_run(bench, "UPDATE notification SET data = ''");
    copy = bench_read_copy(store);
    assert_non_null(copy.row.data.p);
    assert_int_equal(copy.row.data.len, 0);
    bench_run(bench, "UPDATE notification SET data = x''");
    assert_non_null(bench_read_copy(store).row.data.p);
    store_close(store);
}

static void
test_large_data_is_not_handed_out(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    bench_run(bench, "INSERT INTO notification(data) VALUES ('12345678')");
    struct store_config config = bench_config(bench, STORE_READ);
    config.max_event_bytes = 8;
    struct store *store = store_open(&config, NULL, &bench->error);
    assert_false(bench_read_copy(store).row.too_large);
    bench_run(bench, "UPDATE notification SET data = '123456789'");
    struct copy copy = bench_read_copy(store);
    assert_true(copy.row.too_large);
    assert_null(copy.row.data.p);
    assert_int_equal(copy.row.data_bytes, 9);
    store_close(store);
}

static void
test_utf16_database(void **state)
{
    struct bench *bench = *state;
    static const char text[] = "gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82";

    bench_run(bench, "PRAGMA encoding = 'UTF-16'; CREATE TABLE app(a)");
    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_insert(store,
                 (struct row){.channel = slice_of("k\xc3\xa4se"), .data = slice_of(text)});
    struct copy copy = bench_read_copy(store);
    assert_string_equal(copy.channel, "k\xc3\xa4se");
    assert_int_equal(copy.row.data.len, sizeof text - 1);
    assert_memory_equal(copy.data, text, sizeof text - 1);
    store_close(store);
}

/* --- narrowing ----------------------------------------------------------------------- */

static void
request(struct filter *filter, const char *channels)
{
    const char *p = channels;

    while (*p != '\0') {
        size_t len = strcspn(p, " ");
        assert_int_equal(patterns_add(&filter->requested, (struct slice){p, len}),
                         PATTERNS_OK);
        p += len;
        p += *p == ' ' ? 1 : 0;
    }
    assert_int_equal(patterns_compile(&filter->requested, PATTERNS_ASKED), PATTERNS_OK);
}

static void
fill_mixed(struct store *store)
{
    static const char *const channels[] = {"a", "b", "c", "a.b"};
    static const char *const users[] = {NULL, "ann", "bob"};

    for (size_t i = 0; i < 120; i++)
        bench_insert_on(store, channels[i * 7 % 4], users[i * 5 % 3], NULL);
}

/* Narrowed or not, forwards, in pages of any size: the same rows. */
static void
expect_same_rows(struct store *store, const char *channels, char *user, size_t page)
{
    struct filter filter = {.user = user};
    struct seen plain = {.filter = &filter};
    struct seen narrow = {.filter = &filter};
    struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = SEEN_MAX};

    request(&filter, channels);
    bench_read_into(store, &plain, range);
    range.narrow = &filter;
    range.max_rows = page;
    do {
        bench_read_into(store, &narrow, range);
        range.after = narrow.progress.last;
    } while (!narrow.progress.complete);
    assert_int_equal(narrow.progress.last, ROW_ID_MAX);
    assert_int_equal(narrow.count, plain.count);
    assert_memory_equal(narrow.ids, plain.ids, plain.count * sizeof *plain.ids);
    filter.user = NULL;
    filter_fini(&filter);
}

static void
test_narrowing_changes_no_row(void **state)
{
    struct bench *bench = *state;
    static const char *const channels[] = {
        "a",
        "a b",
        "a b c a.b",
        "nothing",
        "a*",
        "a b c d e f g h i j k l m n o p q r s t" /* more than there are arms */};
    char ann[] = "ann";

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    fill_mixed(store);
    for (size_t i = 0; i < COUNT(channels); i++) {
        for (size_t page = 1; page < 130; page += 13) {
            expect_same_rows(store, channels[i], NULL, page);
            expect_same_rows(store, channels[i], ann, page);
        }
    }
    store_close(store);
}

static void
test_bounds_leave_nothing(void **state)
{
    struct bench *bench = *state;
    struct filter filter = {.bounded = {true, false}};
    struct seen seen = {0};

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    fill_mixed(store);
    request(&filter, "a b");
    struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = 10, .narrow = &filter};
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 0);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ROW_ID_MAX);
    filter_fini(&filter);
    store_close(store);
}

/* Pages that were read from the file, not found in the cache, since the last call. */
static int
pages_read(struct store *store)
{
    int now = 0;
    int most = 0;

    assert_int_equal(
        sqlite3_db_status(store->db, SQLITE_DBSTATUS_CACHE_MISS, &now, &most, 1),
        SQLITE_OK);
    return now;
}

static struct store_time
time_of(int64_t created_at_ms)
{
    return (struct store_time){.created_at_ms = created_at_ms, .now_ms = INT64_MAX};
}

/* Of rows that are not for a reader, of times that are looked for, and of what is only counted, the
 * data is not read: 50 pages for each of these rows. */
static void
test_data_of_others_is_not_read(void **state)
{
    struct bench *bench = *state;
    struct filter filter = {0};
    struct seen seen = {.filter = &filter};
    struct store_progress progress;
    int64_t cursor;

    bench_init(bench);
    bench_run(
        bench,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO notification(channel, data, created_at, expires_at) "
        "SELECT 'news', printf('%.*c', 200000, 'x'), i, 4102444800000 FROM n");
    struct store *store = bench_open(bench, STORE_READ);
    struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = 1000, .narrow = &filter};
    request(&filter, "zz*");
    pages_read(store);
    bench_read_into(store, &seen, range);
    assert_true(seen.progress.complete);
    CHECK(pages_read(store) < 500, "%s", "");
    range.row = bench_see;
    range.arg = &seen;
    assert_int_equal(store_read_back(store, &range, &progress, &bench->error), STORE_OK);
    assert_true(pages_read(store) < 500);
    struct store_time time = time_of(50);
    assert_int_equal(store_find_time(store, &time, &cursor, &bench->error), STORE_OK);
    assert_true(pages_read(store) < 500);
    filter_fini(&filter);
    store_close(store);
}

static void
test_large_data_takes_no_memory(void **state)
{
    struct bench *bench = *state;
    struct store_config config = bench_config(bench, STORE_READ);
    struct copy copy = {0};
    struct store_progress progress;
    struct filter filter = {0};
    static const char *const patterns[] = {NULL, "a", "a*"};
    int64_t size = 30000000;

    bench_init(bench);
    bench_run(bench, "INSERT INTO notification(channel, data) VALUES ('a', 'before'), "
                     "('a', printf('%.*c', 30000000, 'x')), ('a', 'after')");
    config.max_event_bytes = 1000;
    struct store *store = store_open(&config, NULL, &bench->error);
    assert_non_null(store);
    for (size_t i = 0; i < COUNT(patterns); i++) {
        struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = 100};
        if (patterns[i] != NULL) {
            request(&filter, patterns[i]);
            range.narrow = &filter;
        }
        struct seen seen = {0};
        int64_t before = sqlite3_memory_used();
        sqlite3_memory_highwater(1);
        bench_read_into(store, &seen, range);
        CHECK(sqlite3_memory_highwater(0) - before < 2000000, "%s", "read into memory\n");
        assert_int_equal(seen.count, 3);
        assert_true(seen.progress.complete);

        range.after = seen.ids[0];
        range.max_rows = 1;
        range.row = bench_copy;
        range.arg = &copy;
        assert_int_equal(store_read_range(store, &range, &progress, &bench->error),
                         STORE_OK);
        assert_true(copy.row.too_large);
        assert_int_equal(copy.row.data_bytes, size);
        assert_int_equal(progress.last, seen.ids[1]);
        assert_false(progress.complete);
        filter_fini(&filter);
        filter = (struct filter){0};
    }
    store_close(store);
}

/* A step ends when its time is over, however few rows are for the reader. */
static void
test_a_step_ends_in_time(void **state)
{
    struct bench *bench = *state;
    struct filter filter = {0};
    struct seen seen = {0};

    bench_init(bench);
    bench_run(
        bench,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "INSERT INTO notification(data) SELECT i FROM n");
    struct store *store = bench_open(bench, STORE_READ);
    struct store_range range = {
        .up_to = ROW_ID_MAX, .max_rows = 100000, .until_ns = 1, .narrow = &filter};
    request(&filter, "zz*");
    bench_read_into(store, &seen, range);
    assert_false(seen.progress.complete);
    int64_t steps = seen.progress.last - bench_marks(store).base;
    CHECK(steps > 0 && steps <= 64, "%lld\n", (long long)steps);
    range.narrow = NULL;
    range.after = 0;
    bench_read_into(store, &seen, range);
    assert_false(seen.progress.complete);
    assert_true(seen.count > 0 && seen.count <= 64);
    filter_fini(&filter);
    store_close(store);
}

static void
expect_plan(sqlite3_stmt *read)
{
    sqlite3_stmt *plan;
    char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(read));

    assert_int_equal(sqlite3_prepare_v2(sqlite3_db_handle(read), sql, -1, &plan, NULL),
                     SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        CHECK(strstr(step, "TEMP B-TREE") == NULL && strstr(step, "SCAN") == NULL, "%s\n",
              step);
    }
    sqlite3_finalize(plan);
    sqlite3_free(sql);
}

static void
test_no_read_sorts_or_scans(void **state)
{
    struct bench *bench = *state;
    enum store_result result;

    bench_init(bench);
    bench_run(bench, "SELECT 1");
    struct store *store = bench_open(bench, STORE_READ);
    for (int reading = 0; reading < STORE_READINGS; reading++) {
        for (unsigned way = 0; way < STORE_WAYS; way++)
            expect_plan(store_read_statement(store, (enum store_reading)reading, way,
                                             &result, NULL));
    }
    store_close(store);
}

/* --- collapsing ---------------------------------------------------------------------- */

static void
test_collapse_keeps_the_newest(void **state)
{
    struct bench *bench = *state;
    int64_t ids[8];

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    ids[0] = bench_insert_on(store, "a", NULL, "k");  /* replaced by 5 */
    ids[1] = bench_insert_on(store, "a", "ann", "k"); /* another recipient: replaced by 6 */
    ids[2] = bench_insert_on(store, "b", NULL, "k");  /* another channel */
    ids[3] = bench_insert_on(store, "a", NULL, NULL); /* never collapsed */
    ids[4] = bench_insert_on(store, "a", NULL, "l");  /* another key */
    ids[5] = bench_insert_on(store, "a", NULL, "k");
    ids[6] = bench_insert_on(store, "a", "ann", "k");
    ids[7] = bench_insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    struct store_range range = {.up_to = ids[7], .max_rows = 100, .collapse = true};
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 6);
    assert_memory_equal(seen.ids, ids + 2, 6 * sizeof *ids);

    seen = (struct seen){0};
    range.up_to = ids[5]; /* the newer one for ann lies beyond it */
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 5);
    assert_memory_equal(seen.ids, ids + 1, 5 * sizeof *ids);

    seen = (struct seen){0};
    range.newest = ids[7]; /* and is looked for there, as a search in steps does */
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 4);
    assert_memory_equal(seen.ids, ids + 2, 4 * sizeof *ids);
    range.newest = 0;

    seen = (struct seen){0};
    range.max_rows = 1; /* the row that is left out was looked at */
    bench_read_into(store, &seen, range);
    assert_int_equal(seen.count, 0);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[0]);
    store_close(store);
}

/* --- backwards ----------------------------------------------------------------------- */

static void
test_backwards(void **state)
{
    struct bench *bench = *state;
    int64_t ids[5];
    struct seen seen = {.stop_after = 2};

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = bench_insert_on(store, i % 2 == 0 ? "a" : "b", NULL, NULL);
    struct store_range range = {.after = ids[0] - 1, .up_to = ids[4], .max_rows = 100};
    range.row = bench_see;
    range.arg = &seen;
    assert_int_equal(store_read_back(store, &range, &seen.progress, &bench->error),
                     STORE_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ids[0], ids[4]);
    assert_int_equal(seen.ids[1], ids[3]);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);

    struct filter filter = {0};
    request(&filter, "a");
    range.narrow = &filter;
    seen = (struct seen){0};
    range.row = bench_see;
    range.arg = &seen;
    assert_int_equal(store_read_back(store, &range, &seen.progress, &bench->error),
                     STORE_OK);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ids[2], ids[0]);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[0]);
    filter_fini(&filter);

    struct copy copy = {0};
    range = (struct store_range){.up_to = ids[0], .max_rows = 1};
    range.row = bench_copy;
    range.arg = &copy;
    assert_int_equal(store_read_back(store, &range, &seen.progress, &bench->error),
                     STORE_OK);
    assert_null(copy.row.data.p);
    assert_false(copy.row.too_large);
    assert_string_equal(copy.channel, "a");
    store_close(store);
}

/* --- marks and time ------------------------------------------------------------------ */

static void
test_marks(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    struct store_marks marks = bench_marks(store);
    int64_t base = marks.base;
    assert_true(base > INT64_C(1700000000000));
    assert_int_equal(marks.low_water, base);
    assert_int_equal(marks.tail, base);
    assert_int_equal(marks.lowest, base + 1);

    for (int i = 1; i <= 5; i++)
        assert_int_equal(bench_insert_on(store, "a", NULL, NULL), base + i);
    bench_run(
        bench,
        "DELETE FROM notification WHERE id % 2 = (SELECT base % 2 FROM rowcast_meta)");
    marks = bench_marks(store);
    assert_int_equal(marks.base, base);
    assert_int_equal(marks.low_water, base + 4);
    assert_int_equal(marks.lowest, base + 1);
    assert_int_equal(marks.tail, base + 5);

    bench_run(bench, "DELETE FROM notification");
    marks = bench_marks(store);
    assert_int_equal(marks.low_water, base + 5);
    assert_int_equal(marks.lowest, base + 6);
    assert_int_equal(marks.tail, base + 5);
    assert_int_equal(bench_insert_on(store, "a", NULL, NULL), base + 6);
    store_close(store);
}

static void
test_snapshot_holds(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    assert_int_equal(store_begin_read(store, &bench->error), STORE_OK);
    int64_t tail = bench_marks(store).tail;
    bench_run(bench, "INSERT INTO notification(data) VALUES ('x')");
    assert_int_equal(bench_marks(store).tail, tail);
    assert_int_equal(bench_read_all(store).count, 0);
    store_end_read(store);
    store_end_read(store);
    assert_int_equal(bench_marks(store).tail, tail + 1);
    assert_int_equal(bench_read_all(store).count, 1);
    store_close(store);
}

static void
test_no_read_transaction_stays(void **state)
{
    struct bench *bench = *state;
    struct seen seen = {.stop_after = 1};

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_insert_on(store, "a", NULL, NULL);
    bench_insert_on(store, "a", NULL, NULL);
    bench_read_into(store, &seen,
                    (struct store_range){.up_to = ROW_ID_MAX, .max_rows = 10});
    bench_marks(store);
    bench_has_changed(store);
    /* A checkpoint that truncates the WAL needs every reader gone. */
    assert_int_equal(bench_ask(bench, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    store_close(store);
}

static void
test_find_time(void **state)
{
    struct bench *bench = *state;
    int64_t cursor;

    bench_init(bench);
    bench_run(bench, "INSERT INTO notification(data, created_at) VALUES "
                     "(1, 100), (2, 200), (3, 300), (4, 300), (5, 400), (6, 500);"
                     "INSERT INTO notification(id, data, created_at) "
                     "SELECT max(id) + 1000000007, 7, 700 FROM notification;"
                     "DELETE FROM notification WHERE created_at = 200");
    struct store *store = bench_open(bench, STORE_READ);
    struct store_marks marks = bench_marks(store);
    int64_t base = marks.base;
    const struct {
        int64_t time;
        int64_t expected;
    } cases[] = {
        {0, base},        {100, base},     {101, base + 2},       {300, base + 2},
        {301, base + 4},  {500, base + 5}, {501, marks.tail - 1}, {700, marks.tail - 1},
        {701, marks.tail}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(bench_find_time(bench, store, cases[i].time, &cursor), STORE_OK);
        CHECK(cursor == cases[i].expected, "time %d: %lld, not %lld\n", (int)cases[i].time,
              (long long)cursor, (long long)cases[i].expected);
    }
    bench_run(bench, "DELETE FROM notification");
    assert_int_equal(bench_find_time(bench, store, 0, &cursor), STORE_OK);
    assert_int_equal(cursor, marks.tail);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_range_is_bounded_on_both_sides),
        BENCH_TEST(test_range_goes_on_where_it_stopped),
        BENCH_TEST(test_bytes_come_as_they_are),
        BENCH_TEST(test_large_data_is_not_handed_out),
        BENCH_TEST(test_utf16_database),
        BENCH_TEST(test_narrowing_changes_no_row),
        BENCH_TEST(test_bounds_leave_nothing),
        BENCH_TEST(test_data_of_others_is_not_read),
        BENCH_TEST(test_large_data_takes_no_memory),
        BENCH_TEST(test_a_step_ends_in_time),
        BENCH_TEST(test_no_read_sorts_or_scans),
        BENCH_TEST(test_collapse_keeps_the_newest),
        BENCH_TEST(test_backwards),
        BENCH_TEST(test_marks),
        BENCH_TEST(test_snapshot_holds),
        BENCH_TEST(test_no_read_transaction_stays),
        BENCH_TEST(test_find_time),
    };

    return RUN(tests);
}
