/* test_retention.c - what the background thread deletes and what it leaves; the store's upkeep. */
#include "config.h"

#include "serve/retention.h"

#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "retention"

/* Retention, and the writer's thread on which it works. */
struct keeper {
    struct writer *writer;
    struct retention *retention;
};

static struct keeper
start_with(struct stage *stage, const struct retention_config *config)
{
    struct writer_config writer = {.path = stage->path,
                                   .table = STORE_DEFAULT_TABLE,
                                   .gate = feed_gate(stage->feed),
                                   .log = &stage->log};
    struct keeper keeper = {.writer = writer_new(&writer)};
    assert_non_null(keeper.writer);
    keeper.retention = retention_new(config, keeper.writer);
    assert_non_null(keeper.retention);
    assert_int_equal(writer_start(keeper.writer, &stage->error), 0);
    return keeper;
}

static struct keeper
start(struct stage *stage, int64_t keep_age_ms, int64_t keep_rows)
{
    struct retention_config config = {.path = stage->path,
                                      .table = STORE_DEFAULT_TABLE,
                                      .keep_age_ms = keep_age_ms,
                                      .keep_rows = keep_rows,
                                      .tail = &stage->counters.tail,
                                      .pruned_rows = &stage->counters.pruned_rows,
                                      .prunes = &stage->counters.prunes};
    return start_with(stage, &config);
}

static void
stop(struct keeper keeper)
{
    writer_free(keeper.writer);
    retention_free(keeper.retention);
}

static int64_t
pruned(const struct stage *stage)
{
    return (int64_t)__atomic_load_n(&stage->counters.pruned_rows, __ATOMIC_RELAXED);
}

static int64_t
count(struct stage *stage)
{
    return stage_ask(stage, "SELECT count(*) FROM notification");
}

static void
insert(struct stage *stage, int rows)
{
    stage_sql(
        stage,
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO notification(data) SELECT i FROM n",
        rows);
}

static void
test_keeps_the_newest(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    struct keeper keeper = start(&stage, 0, 10);
    insert(&stage, 1000);
    WAIT(&stage, pruned(&stage) == 990);
    assert_int_equal(count(&stage), 10);
    assert_int_equal(
        stage_ask(&stage, "SELECT max(CAST(data AS INTEGER)) FROM notification"), 1000);
    insert(&stage, 5);
    WAIT(&stage, pruned(&stage) == 995);
    WAIT(&stage, reader_rows(reader) == 1005);
    assert_false(reader_has_text(reader, "rowcast:gap"));
    assert_true(stage.counters.prunes > 0);
    stop(keeper);
    stage_close(&stage);
}

/* The loop stands still meanwhile: what it has not read must not go. */
static void
test_waits_for_the_loop(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert(&stage, 3);
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    WAIT(&stage, stage.counters.tail == (uint64_t)stage.base + 3);
    insert(&stage, 50);
    struct keeper keeper = start(&stage, 0, 1);
    while (pruned(&stage) < 3) /* the thread's doing; no turn of the loop */
        uv_sleep(1);
    stop(keeper); /* it has ended its round */
    assert_int_equal(count(&stage), 50);
    WAIT(&stage, reader_rows(reader) == 50);
    assert_false(reader_has_text(reader, "rowcast:gap"));
    stage_close(&stage);
}

/* What another worker has handed out. */
static uint64_t
others_tail(const void *arg)
{
    return __atomic_load_n((const uint64_t *)arg, __ATOMIC_RELAXED);
}

/* Another worker lags: what it has not read stays until it has, or hangs. */
static void
test_waits_for_other_workers(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    uint64_t tail = (uint64_t)stage.base + 20;
    struct retention_config config = {.path = stage.path,
                                      .table = STORE_DEFAULT_TABLE,
                                      .keep_rows = 1,
                                      .tail = &stage.counters.tail,
                                      .lowest_tail = others_tail,
                                      .arg = &tail,
                                      .pruned_rows = &stage.counters.pruned_rows,
                                      .prunes = &stage.counters.prunes};
    insert(&stage, 50);
    WAIT(&stage, stage.counters.tail == (uint64_t)stage.base + 50);
    struct keeper keeper = start_with(&stage, &config);
    WAIT(&stage, pruned(&stage) == 20);
    __atomic_store_n(&tail, (uint64_t)stage.base + 30, __ATOMIC_RELAXED);
    WAIT(&stage, pruned(&stage) == 30);
    assert_int_equal(count(&stage), 20);
    assert_int_equal(stage_ask(&stage, "SELECT min(id) FROM notification"),
                     stage.base + 31);
    WAIT(&stage, pruned(&stage) == 49); /* it does not move any more */
    stop(keeper);
    stage_close(&stage);
}

/* The lowest tail is that of workers that are there. */
static void
test_lowest_tail(void **state)
{
    struct hub_counters counters[4] = {
        {.tail = 70}, {.tail = 50}, {.tail = 0}, {.tail = 60}};
    (void)state;
    assert_int_equal(hub_counters_lowest_tail(counters, 1), 70);
    assert_int_equal(hub_counters_lowest_tail(counters, 4), 50);
    hub_counters_forget_streams(&counters[1]);
    assert_int_equal(hub_counters_lowest_tail(counters, 4), 60);
    assert_int_equal(hub_counters_lowest_tail(&counters[2], 1), 0);
}

static void
test_by_age(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert(&stage, 30);
    stage_sql(&stage, "UPDATE notification SET created_at = 1000 WHERE id <= %lld",
              (long long)stage.base + 20);
    struct keeper keeper = start(&stage, 3600000, 0);
    WAIT(&stage, pruned(&stage) == 20);
    stop(keeper);
    assert_int_equal(count(&stage), 10);
    stage_close(&stage);
}

static void
test_reopens(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct keeper keeper = start(&stage, 0, 1);
    insert(&stage, 5);
    WAIT(&stage, pruned(&stage) == 4);
    feed_reload(stage.feed);
    insert(&stage, 5);
    WAIT(&stage, pruned(&stage) == 9);
    stage_replace_database(&stage);
    WAIT(&stage, count(&stage) == 0);
    insert(&stage, 5);
    WAIT(&stage, pruned(&stage) == 13);
    stop(keeper);
    stage_close(&stage);
}

static void
test_refuses_a_foreign_table(void **state)
{
    struct retention_config config = {.path = "a.db", .table = "theirs", .keep_rows = 1};
    struct store_marks marks = {.base = 0, .tail = 7};
    struct error error = {""};
    (void)state;
    assert_int_equal(retention_check(&config, &marks, &error), -1);
    assert_non_null(strstr(error.text, "theirs of a.db was not made by rowcast"));
    marks.base = 5;
    assert_int_equal(retention_check(&config, &marks, &error), 0);
    marks.base = 0;
    config.keep_rows = 0;
    assert_int_equal(retention_check(&config, &marks, &error), 0);
}

/* --- the store's part ---------------------------------------------------------------- */

static struct store *
open_store(struct stage *stage)
{
    struct store_config config = {.path = stage->path, .mode = STORE_WRITE};
    struct store *store = store_open(&config, NULL, &stage->error);
    assert_non_null(store);
    assert_int_equal(store_set_durability(store, STORE_LAZY, &stage->error), STORE_OK);
    return store;
}

static int
prune(struct stage *stage, struct store *store, const struct store_prune *what)
{
    int deleted = 0;
    assert_int_equal(store_prune(store, what, &deleted, &stage->error), STORE_OK);
    return deleted;
}

static void
test_expired_first(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert(&stage, 10);
    stage_sql(&stage, "UPDATE notification SET expires_at = 50 WHERE data <> '4'");
    struct store *store = open_store(&stage);
    struct store_prune what = {.expired_first_ms = 50, .max_rows = 100};
    assert_int_equal(prune(&stage, store, &what), 0); /* not past yet */
    what.expired_first_ms = 51;
    assert_int_equal(prune(&stage, store, &what), 3); /* up to the one that stays */
    assert_int_equal(prune(&stage, store, &what), 0);
    assert_int_equal(stage_ask(&stage, "SELECT low_water FROM rowcast_meta"),
                     stage.base + 3);
    store_close(store);
    stage_close(&stage);
}

static void
test_up_to_and_slack(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert(&stage, 20);
    struct store *store = open_store(&stage);
    struct store_prune what = {
        .keep_rows = 5, .slack_rows = 3, .up_to = stage.base + 4, .max_rows = 100};
    assert_int_equal(prune(&stage, store, &what), 4);
    what.up_to = stage.base + 20;
    assert_int_equal(prune(&stage, store, &what), 11);
    insert(&stage, 3);
    assert_int_equal(prune(&stage, store, &what), 0); /* 8 rows: 3 too many are borne */
    insert(&stage, 1);
    what.up_to = 0;
    assert_int_equal(prune(&stage, store, &what), 4);
    assert_int_equal(count(&stage), 5);
    store_close(store);
    stage_close(&stage);
}

static void
test_vacuum_step(void **state)
{
    struct stage stage;
    int freed = -1;
    int64_t total = 0;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert(&stage, 20000);
    stage_sql(&stage, "DELETE FROM notification");
    struct store *store = open_store(&stage);
    assert_int_equal(store_vacuum_step(store, 10, &freed, &stage.error), STORE_OK);
    assert_int_equal(freed, 0); /* not that kind of database */
    store_close(store);

    stage_stop_hub(&stage);
    stage_sql(&stage, "PRAGMA auto_vacuum = INCREMENTAL");
    stage_sql(&stage, "PRAGMA journal_mode = DELETE");
    stage_sql(&stage, "VACUUM");
    insert(&stage, 20000);
    stage_sql(&stage, "DELETE FROM notification");
    int64_t pages = stage_ask(&stage, "PRAGMA page_count");
    store = open_store(&stage);
    do {
        assert_int_equal(store_vacuum_step(store, 10, &freed, &stage.error), STORE_OK);
        assert_true(freed <= 10);
        total += freed;
    } while (freed > 0);
    assert_int_equal(stage_ask(&stage, "PRAGMA page_count"), pages - total);
    assert_true(total > pages / 2);
    store_close(store);
    stage_start_hub(&stage, &(struct hub_config){0});
    stage_close(&stage);
}

static void
test_checkpoint(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    stage_sql(&stage, "PRAGMA wal_autocheckpoint = 0");
    insert(&stage, 5000);
    struct store *store = open_store(&stage);
    assert_true(store_wal_bytes(store) > 100000);
    stage_sql(&stage, "BEGIN IMMEDIATE");
    assert_int_equal(store_checkpoint(store, &stage.error), STORE_BUSY);
    stage_sql(&stage, "COMMIT");
    assert_int_equal(store_checkpoint(store, &stage.error), STORE_OK);
    assert_int_equal(store_wal_bytes(store), 0);
    store_close(store);
    stage_close(&stage);
}

/* As a migration does that copies a table; without AUTOINCREMENT and triggers. */
static void
migrate(struct stage *stage)
{
    stage_sql(stage, "BEGIN IMMEDIATE");
    stage_sql(stage, "CREATE TABLE new(id INTEGER PRIMARY KEY, channel TEXT NOT NULL "
                     "DEFAULT 'default', recipient TEXT, event TEXT, data TEXT NOT NULL, "
                     "collapse_key TEXT, created_at INTEGER NOT NULL DEFAULT 0, "
                     "expires_at INTEGER)");
    stage_sql(stage, "INSERT INTO new SELECT * FROM notification");
    stage_sql(stage, "DROP TABLE notification");
    stage_sql(stage, "ALTER TABLE new RENAME TO notification");
    stage_sql(stage, "COMMIT");
}

/* Its ids begin at 1, below what readers have passed and what was once counted as too many. */
static void
test_rests_while_the_table_is_broken(void **state)
{
    struct stage stage;
    struct store_prune prune = {.keep_rows = 10, .max_rows = 50};
    struct store_init_result outcome;
    int deleted;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct store *store = open_store(&stage);
    insert(&stage, 100);
    assert_int_equal(store_prune(store, &prune, &deleted, &stage.error), STORE_OK);
    assert_int_equal(deleted, 50);
    stage_sql(&stage, "DELETE FROM notification");
    migrate(&stage);
    insert(&stage, 20);
    assert_int_equal(store_prune(store, &prune, &deleted, &stage.error), STORE_FAILED);
    assert_int_equal(deleted, 0);
    assert_int_equal(count(&stage), 20);
    assert_non_null(store_fault(store));
    assert_non_null(strstr(stage.error.text, "`rowcast init`"));

    struct store_config config = {.path = stage.path, .mode = STORE_WRITE};
    assert_int_equal(store_init(&config, STORE_JOURNAL_KEEP, &outcome, &stage.error), 0);
    assert_true(outcome.restored);
    insert(&stage, 20);
    assert_int_equal(store_prune(store, &prune, &deleted, &stage.error), STORE_OK);
    assert_int_equal(deleted, 30);
    store_close(store);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_the_newest),
        cmocka_unit_test(test_waits_for_the_loop),
        cmocka_unit_test(test_waits_for_other_workers),
        cmocka_unit_test(test_lowest_tail),
        cmocka_unit_test(test_by_age),
        cmocka_unit_test(test_reopens),
        cmocka_unit_test(test_refuses_a_foreign_table),
        cmocka_unit_test(test_expired_first),
        cmocka_unit_test(test_up_to_and_slack),
        cmocka_unit_test(test_vacuum_step),
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_rests_while_the_table_is_broken),
    };
    return RUN(tests);
}
