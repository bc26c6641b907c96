/* test_write.c - writing and pruning. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_bench.h"

#define TEST_NAME "write"

/* --- writing --------------------------------------------------------------------------------- */

static void
test_transactions(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    assert_int_equal(store_begin_write(store, &bench->error), STORE_OK);
    int64_t id = bench_insert_on(store, "a", NULL, NULL);
    assert_int_equal(bench_ask(bench, "SELECT count(*) FROM notification"), 0);
    store_rollback(store);
    store_rollback(store);
    assert_int_equal(store_begin_write(store, &bench->error), STORE_OK);
    assert_int_equal(bench_insert_on(store, "a", NULL, NULL), id);
    assert_int_equal(store_commit(store, &bench->error), STORE_OK);
    assert_int_equal(bench_ask(bench, "SELECT count(*) FROM notification"), 1);
    store_close(store);
}

static void
test_refused_rows_are_explained(void **state)
{
    struct bench *bench = *state;
    struct row row = {.event = slice_of("open"), .data = slice_of("x")};
    int64_t id;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "refuses the row: event must not be open"));
    row = (struct row){.channel = {"a\0b", 3}, .data = slice_of("x")};
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "refuses the row: channel must be"));
    store_close(store);
}

static void
test_locks_are_busy(void **state)
{
    struct bench *bench = *state;
    struct store_marks marks;
    bool busy = false;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_run(bench, "BEGIN IMMEDIATE");
    assert_int_equal(store_begin_write(store, &bench->error), STORE_BUSY);
    assert_non_null(strstr(bench->error.text, "locked"));
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_OK);
    bench_run(bench, "COMMIT");
    store_close(store);

    bench_run(bench, "PRAGMA journal_mode = DELETE");
    store = bench_open(bench, STORE_READ);
    bench_run(bench, "BEGIN EXCLUSIVE");
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_BUSY);
    struct store_config config = bench_config(bench, STORE_READ);
    assert_null(store_open(&config, &busy, &bench->error));
    assert_true(busy);
    bench_run(bench, "COMMIT");
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_OK);
    store_close(store);
}

static void
test_full_disk(void **state)
{
    struct bench *bench = *state;
    char *data = malloc(1000000);
    int64_t id;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    assert_int_equal(store_execute(store, "PRAGMA max_page_count = 20", "", NULL),
                     STORE_OK);
    memset(data, 'x', 1000000);
    struct row row = {.data = {data, 1000000}};
    assert_int_equal(store_begin_write(store, &bench->error), STORE_OK);
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "disk is full"));
    store_rollback(store);
    row.data = slice_of("small");
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_OK);
    assert_int_equal(bench_read_all(store).count, 1);
    store_close(store);
    free(data);
}

/* --- pruning --------------------------------------------------------------------------------- */

static int64_t
prune_all(struct store *store, struct store_prune prune)
{
    struct error error;
    int64_t total = 0;
    int deleted;

    do {
        CHECK(store_prune(store, &prune, &deleted, &error) == STORE_OK, "%s\n", error.text);
        assert_true(deleted <= prune.max_rows);
        total += deleted;
    } while (deleted > 0);
    return total;
}

static void
test_prune(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    bench_run(bench, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
                     "INSERT INTO notification(data, created_at, expires_at) "
                     "SELECT i, i * 10, CASE WHEN i % 10 = 0 THEN i END FROM n");
    struct store *store = bench_open(bench, STORE_WRITE);
    int64_t base = bench_marks(store).base;

    assert_int_equal(prune_all(store, (struct store_prune){.max_rows = 7}), 0);
    assert_int_equal(prune_all(store, (struct store_prune){.older_than_ms = 201,
                                                           .now_ms = 100000,
                                                           .max_rows = 7}),
                     20);
    assert_int_equal(bench_marks(store).lowest, base + 21);
    assert_int_equal(bench_marks(store).low_water, base + 20);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 50, .max_rows = 1}),
                     30);
    assert_int_equal(bench_marks(store).lowest, base + 51);
    assert_int_equal(
        prune_all(store, (struct store_prune){.expired_before_ms = 80, .max_rows = 2}), 2);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 40, .max_rows = 7}),
                     8);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 10,
                                                           .older_than_ms = 975,
                                                           .expired_before_ms = 1000,
                                                           .max_rows = 7}),
                     38);
    assert_int_equal(bench_read_all(store).count, 2);
    store_close(store);
}

/* A clock that was ahead, or microseconds, at the head of the table. */
static void
test_prune_passes_rows_of_the_future(void **state)
{
    struct bench *bench = *state;
    struct store_prune prune = {.older_than_ms = 1000, .now_ms = 5000, .max_rows = 10};

    bench_init(bench);
    bench_run(
        bench,
        "INSERT INTO notification(data, created_at) VALUES "
        "(1, 9000000), (2, 10), (3, 9000000), (4, 20), (5, 9000000), (6, 2000), (7, 30)");
    struct store *store = bench_open(bench, STORE_WRITE);
    assert_int_equal(prune_all(store, prune), 4);
    assert_int_equal(bench_ask(bench, "SELECT min(data) FROM notification"), 5);
    struct store_time time = {.created_at_ms = 1000, .now_ms = 5000};
    int64_t cursor;
    assert_int_equal(store_find_time(store, &time, &cursor, &bench->error), STORE_OK);
    store_close(store);
}

static void
test_prune_takes_no_lock_for_nothing(void **state)
{
    struct bench *bench = *state;
    struct store_prune prune = {
        .older_than_ms = 1, .keep_rows = 1, .expired_before_ms = 1, .max_rows = 10};
    int deleted;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_insert_on(store, "a", NULL, NULL);
    bench_run(bench, "BEGIN IMMEDIATE");
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_OK);
    prune.older_than_ms = INT64_MAX;
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_BUSY);
    bench_run(bench, "COMMIT");
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_OK);
    assert_int_equal(deleted, 1);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_transactions),
        BENCH_TEST(test_refused_rows_are_explained),
        BENCH_TEST(test_locks_are_busy),
        BENCH_TEST(test_full_disk),
        BENCH_TEST(test_prune),
        BENCH_TEST(test_prune_passes_rows_of_the_future),
        BENCH_TEST(test_prune_takes_no_lock_for_nothing),
    };

    return RUN(tests);
}
