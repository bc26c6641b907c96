/* test_read_log.c - a reader of the log: rows, gaps and marks of one snapshot. */
#include "config.h"

#include "store/read_log.h"

#include "store_bench.h"

#define TEST_NAME "read_log"

/* What one read has brought: ids of rows, and before them a gap, if any. */
struct heard {
    struct seen seen;
    struct gap gap;
    int gaps;
    enum store_step step; /* the answer to a gap */
    struct bench *bench;  /* where something is done while rows are given */
    const char *meanwhile;
};

static enum store_step
hear_gap(void *arg, const struct gap *gap)
{
    struct heard *heard = arg;

    assert_int_equal(heard->seen.count, 0);
    heard->gap = *gap;
    heard->gaps++;
    return heard->step;
}

static enum store_step
hear_row(void *arg, const struct row *row)
{
    struct heard *heard = arg;

    if (heard->meanwhile != NULL)
        bench_run(heard->bench, heard->meanwhile);
    heard->meanwhile = NULL;
    return bench_see(&heard->seen, row);
}

static struct store_log
log_of(struct heard *heard)
{
    return (struct store_log){
        .range = {.up_to = ROW_ID_MAX, .max_rows = SEEN_MAX, .row = hear_row, .arg = heard},
        .gap = hear_gap};
}

static struct heard
read_on(struct store *store, struct store_cursor *cursor)
{
    struct heard heard = {.step = STORE_MORE};
    struct store_log log = log_of(&heard);
    struct error error;

    CHECK(store_read_log(store, cursor, &log, &error) == STORE_OK, "%s\n", error.text);
    assert_int_equal(log.has_gap, heard.gaps);
    return heard;
}

static struct store_cursor
at_tail(struct store *store)
{
    struct store_marks marks = bench_marks(store);
    struct store_cursor cursor;
    struct error error;

    assert_int_equal(store_cursor_at_tail(store, &marks, &cursor, &error), STORE_OK);
    return cursor;
}

static void
add_rows(struct bench *bench, int count)
{
    char sql[SQL_MAX];

    snprintf(
        sql, sizeof sql,
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO notification(data) SELECT i FROM n",
        count);
    bench_run(bench, sql);
}

static void
test_each_row_comes_once(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    add_rows(bench, 2);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    assert_int_equal(read_on(store, &cursor).seen.count, 0);
    add_rows(bench, 3);
    assert_int_equal(read_on(store, &cursor).seen.count, 3);
    assert_int_equal(cursor.id, bench_marks(store).tail);
    assert_int_equal(read_on(store, &cursor).seen.count, 0);
    store_close(store);
}

static void
test_rows_that_were_pruned_are_a_gap(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    int64_t before = cursor.id;
    add_rows(bench, 4);
    bench_run(bench, "DELETE FROM notification WHERE id IN "
                     "(SELECT id FROM notification ORDER BY id LIMIT 2)");
    struct heard heard = read_on(store, &cursor);
    assert_int_equal(heard.gaps, 1);
    assert_int_equal(heard.gap.reason, GAP_PRUNED);
    assert_int_equal(heard.gap.resumed_at, before + 2);
    assert_int_equal(heard.seen.count, 2);
    assert_int_equal(read_on(store, &cursor).gaps, 0); /* said once */
    store_close(store);
}

/* Marks of a later snapshot than the rows' would call rows pruned that were given. */
static void
test_what_is_pruned_while_rows_are_given_is_of_the_next_read(void **state)
{
    struct bench *bench = *state;
    struct error error;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    add_rows(bench, 4);
    struct heard heard = {.bench = bench, .meanwhile = "DELETE FROM notification"};
    heard.seen.stop_after = 2;
    struct store_log log = log_of(&heard);
    assert_int_equal(store_read_log(store, &cursor, &log, &error), STORE_OK);
    assert_int_equal(heard.gaps, 0);
    assert_int_equal(heard.seen.count, 2);
    assert_int_equal(cursor.id, heard.seen.ids[1]);
    heard = read_on(store, &cursor);
    assert_int_equal(heard.gaps, 1);
    assert_int_equal(heard.seen.count, 0);
    assert_int_equal(cursor.id, bench_marks(store).tail);
    store_close(store);
}

static void
test_a_gap_that_is_not_taken_leaves_the_cursor(void **state)
{
    struct bench *bench = *state;
    struct error error;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    int64_t before = cursor.id;
    add_rows(bench, 3);
    bench_run(bench,
              "DELETE FROM notification WHERE id = (SELECT min(id) FROM notification)");
    struct heard heard = {.step = STORE_STOP};
    struct store_log log = log_of(&heard);
    assert_int_equal(store_read_log(store, &cursor, &log, &error), STORE_OK);
    assert_true(log.has_gap);
    assert_int_equal(heard.seen.count, 0);
    assert_int_equal(cursor.id, before);
    assert_int_equal(read_on(store, &cursor).gaps, 1);
    store_close(store);
}

/* More rows were added to the backup than it lacks: no mark tells. */
static void
test_an_older_state_is_found_by_the_last_row(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    add_rows(bench, 3);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    bench_run(bench, "PRAGMA recursive_triggers = 0; "
                     "UPDATE sqlite_sequence SET seq = seq + 5; "
                     "DROP TRIGGER notification_update; "
                     "UPDATE notification SET created_at = created_at - 1000");
    struct heard heard = read_on(store, &cursor);
    assert_int_equal(heard.gaps, 1);
    assert_int_equal(heard.gap.reason, GAP_RESET);
    assert_int_equal(read_on(store, &cursor).gaps, 0);
    store_close(store);
}

static void
test_an_id_of_a_client_is_judged(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    add_rows(bench, 3);
    struct store *store = bench_open(bench, STORE_READ);
    int64_t tail = bench_marks(store).tail;
    struct store_cursor known = {.id = tail - 1};
    assert_int_equal(read_on(store, &known).gaps, 0);
    struct store_cursor strange = {.id = tail + 1};
    struct heard heard = read_on(store, &strange);
    assert_int_equal(heard.gap.reason, GAP_RESET);
    assert_int_equal(strange.id, tail);
    store_close(store);
}

static void
test_a_table_that_lost_its_triggers_is_noticed(void **state)
{
    struct bench *bench = *state;
    bool changed;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    struct store_cursor cursor = at_tail(store);
    assert_null(store_fault(store));
    bench_run(bench, "DROP TRIGGER notification_low_water");
    assert_int_equal(read_on(store, &cursor).gaps, 0);
    assert_non_null(store_fault(store));
    bench_init(bench); /* as `rowcast init` */
    assert_int_equal(store_changed(store, &changed, &bench->error), STORE_OK);
    assert_true(changed);
    read_on(store, &cursor);
    assert_null(store_fault(store));
    store_close(store);
}

/* --- whether something was committed ------------------------------------------------- */

/* In each mode, and when one follows on the other. */
static void
check_changes(struct bench *bench, struct store *store)
{
    struct store_cursor cursor = at_tail(store);

    bench_has_changed(store);
    for (int i = 0; i < 3; i++) {
        assert_false(bench_has_changed(store));
        bench_run(bench, "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('x')");
        assert_false(bench_has_changed(store));
        bench_run(bench, "ROLLBACK");
        assert_false(bench_has_changed(store));
        add_rows(bench, 1);
        assert_true(bench_has_changed(store));
        assert_int_equal(read_on(store, &cursor).seen.count, 1);
    }
    bench_try(bench, "PRAGMA wal_checkpoint(TRUNCATE)"); /* the WAL begins anew */
    add_rows(bench, 1);
    assert_true(bench_has_changed(store));
    assert_int_equal(read_on(store, &cursor).seen.count, 1);
}

static void
test_a_commit_is_noticed_in_each_journal_mode(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    check_changes(bench, store);
    store_close(store);

    bench_run(bench, "PRAGMA journal_mode = DELETE");
    store = bench_open(bench, STORE_READ);
    check_changes(bench, store);
    bench_run(bench, "PRAGMA journal_mode = WAL"); /* while it is open */
    add_rows(bench, 1);
    assert_true(bench_has_changed(store));
    check_changes(bench, store);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_each_row_comes_once),
        BENCH_TEST(test_rows_that_were_pruned_are_a_gap),
        BENCH_TEST(test_what_is_pruned_while_rows_are_given_is_of_the_next_read),
        BENCH_TEST(test_a_gap_that_is_not_taken_leaves_the_cursor),
        BENCH_TEST(test_an_older_state_is_found_by_the_last_row),
        BENCH_TEST(test_an_id_of_a_client_is_judged),
        BENCH_TEST(test_a_table_that_lost_its_triggers_is_noticed),
        BENCH_TEST(test_a_commit_is_noticed_in_each_journal_mode),
    };

    return RUN(tests);
}
