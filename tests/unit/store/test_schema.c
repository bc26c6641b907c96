/* test_schema.c - making the table, migrating it, rebase. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_bench.h"

#define TEST_NAME "schema"

static int
try_init(struct bench *bench, const char *table, struct store_init_result *result)
{
    struct store_config config = bench_config(bench, STORE_WRITE);

    config.table = table;
    return store_init(&config, STORE_JOURNAL_WAL, result, &bench->error);
}

static void
test_init_twice_is_harmless(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;

    assert_int_equal(try_init(bench, NULL, &result), 0);
    assert_true(result.created);
    assert_true(result.switched_to_wal);
    int64_t base = bench_ask(bench, "SELECT base FROM rowcast_meta");
    assert_int_equal(try_init(bench, "NOTIFICATION", &result), 0);
    assert_false(result.created);
    assert_false(result.switched_to_wal);
    assert_int_equal(result.migrated_from, 0);
    assert_int_equal(bench_ask(bench, "SELECT base FROM rowcast_meta"), base);
}

/* Runs the made-up steps of a later rowcast on the bench's database, table "Feed". */
static enum store_result
migrate_to(struct bench *bench, int version, struct store_init_result *outcome)
{
    static const char *const steps[] = {
        NULL,
        "ALTER TABLE \"notification\" ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
        "CREATE INDEX \"notification_by_priority\" ON \"notification\"(priority, id);"
        "UPDATE \"rowcast_meta\" SET base = base - 1 WHERE table_name = 'notification'",
        "UPDATE \"notification\" SET priority = length(data)",
        "CREATE TABLE half_way(a); INSERT INTO half_way VALUES (1); SELECT "
        "no_such_function()",
        NULL,
    };
    struct store_config config = bench_config(bench, STORE_WRITE);
    struct store_schema schema = {.table = "feed", .version = version, .steps = steps};
    struct store *store = malloc(sizeof *store);

    *outcome = (struct store_init_result){0};
    assert_non_null(store);
    assert_int_equal(store_open_file(store, &config, STORE_CREATE_NEVER, &bench->error),
                     STORE_OK);
    enum store_result result = store_make_table(store, &schema, outcome, &bench->error);
    store_close(store);
    return result;
}

/* Feed, version 1, with one row; and another table, of which no step may know. */
static void
make_version_1(struct bench *bench)
{
    struct store_init_result result;

    assert_int_equal(try_init(bench, "Feed", &result), 0);
    assert_int_equal(try_init(bench, NULL, &result), 0);
    bench_run(bench, "UPDATE rowcast_meta SET schema_version = 1;"
                     "INSERT INTO Feed(data) VALUES ('seven b')");
}

static void
test_migration_takes_each_step(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;

    make_version_1(bench);
    int64_t base =
        bench_ask(bench, "SELECT base FROM rowcast_meta WHERE table_name = 'Feed'");
    assert_int_equal(migrate_to(bench, 1, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 0);

    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 1);
    assert_false(outcome.created);
    assert_int_equal(bench_ask(bench, "SELECT priority FROM Feed"), 7);
    assert_int_equal(
        bench_ask(bench,
                  "SELECT count(*) FROM sqlite_master WHERE name = 'feed_by_priority'"
                  " COLLATE NOCASE AND tbl_name = 'Feed'"),
        1);
    assert_int_equal(
        bench_ask(bench, "SELECT base FROM rowcast_meta WHERE table_name = 'Feed'"),
        base - 1);
    assert_int_equal(
        bench_ask(bench,
                  "SELECT schema_version FROM rowcast_meta WHERE table_name = 'Feed'"),
        3);
    assert_int_equal(bench_ask(bench, "SELECT schema_version FROM rowcast_meta"
                                      " WHERE table_name = 'notification'"),
                     1);
    assert_int_equal(bench_ask(bench,
                               "SELECT count(*) FROM pragma_table_info('notification')"
                               " WHERE name = 'priority'"),
                     0);

    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 0);
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "upgrade rowcast"));
}

/* From half-way, too: the second step begins where the first one left it. */
static void
test_migration_begins_anywhere(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;

    make_version_1(bench);
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_OK);
    assert_int_equal(bench_ask(bench, "SELECT priority FROM Feed"), 0);
    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 2);
    assert_int_equal(bench_ask(bench, "SELECT priority FROM Feed"), 7);
}

static void
test_migration_fails_as_a_whole(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;
    static const int too_far[] = {4, 5};

    make_version_1(bench);
    int64_t schema = bench_ask(bench, "PRAGMA schema_version");
    for (size_t i = 0; i < COUNT(too_far); i++) {
        assert_int_equal(migrate_to(bench, too_far[i], &outcome), STORE_FAILED);
        assert_non_null(strstr(bench->error.text, "no_such_function"));
        assert_int_equal(bench_ask(bench, "PRAGMA schema_version"), schema);
        assert_int_equal(bench_ask(bench, "SELECT max(schema_version) FROM rowcast_meta"),
                         1);
    }
    bench_run(bench, "INSERT INTO Feed(data) VALUES ('goes on')");

    /* Versions of which nobody knows. */
    bench_run(bench, "UPDATE rowcast_meta SET schema_version = -3");
    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "unknown schema version -3"));
    bench_run(bench, "UPDATE rowcast_meta SET schema_version = 4");
    assert_int_equal(migrate_to(bench, 5, &outcome), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "unknown schema version 4"));
}

/* A writer that holds the lock makes it busy; readers see the table of before until it is done. */
static void
test_migration_waits_for_the_writer(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;

    make_version_1(bench);
    bench_run(bench, "BEGIN IMMEDIATE; INSERT INTO Feed(data) VALUES ('in the way')");
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_BUSY);
    bench_run(bench, "COMMIT");
    bench_run(bench, "BEGIN; SELECT count(*) FROM Feed");
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_OK);
    assert_int_equal(bench_ask(bench, "SELECT max(schema_version) FROM rowcast_meta"), 1);
    bench_run(bench, "COMMIT");
    assert_int_equal(bench_ask(bench, "SELECT max(schema_version) FROM rowcast_meta"), 2);
}

static void
test_table_names(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;
    static const char *const bad[] = {
        "",
        "1a",
        "a b",
        "a\"b",
        "sqlite_x",
        "rowcast_meta",
        "\xc3\xa4",
        ("a23456789012345678901234567890123456789012345678901234"
         "5678901234")};

    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK(try_init(bench, bad[i], &result) == -1, "%s\n", bad[i]);
    assert_int_equal(access(bench->path, F_OK), -1);

    assert_int_equal(try_init(bench, "order", &result), 0); /* a keyword */
    assert_int_equal(try_init(bench, "notification_2", &result), 0);
    assert_int_equal(try_init(bench, NULL, &result), 0);
    struct store *store = bench_open_table(bench, STORE_WRITE, "ORDER");
    int64_t id = bench_insert_on(store, "a", NULL, NULL);
    bench_run(bench, "DELETE FROM \"order\"");
    assert_int_equal(bench_marks(store).low_water, id);
    store_close(store);
    assert_int_equal(
        bench_ask(bench, "SELECT count(*) FROM rowcast_meta WHERE base = low_water"), 2);
    bench_run(bench, "INSERT INTO notification_2(data) VALUES (1)");
    assert_int_equal(bench_ask(bench, "SELECT count(*) FROM notification"), 0);
}

static void
test_init_refuses(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;

    bench_run(bench,
              "CREATE TABLE notification(id, data); CREATE VIEW v AS SELECT 1 AS id");
    assert_int_equal(try_init(bench, NULL, &result), -1);
    assert_non_null(strstr(bench->error.text, "choose another name with --table"));
    assert_int_equal(try_init(bench, "V", &result), -1);
    assert_int_equal(bench_ask(bench, "SELECT count(*) FROM sqlite_master"), 2);
    assert_int_equal(try_init(bench, "ours", &result), 0);
    bench_run(bench, "UPDATE rowcast_meta SET schema_version = 9");
    assert_int_equal(try_init(bench, "ours", &result), -1);
    assert_non_null(strstr(bench->error.text, "upgrade rowcast"));
}

static void
test_dropped_table_goes_on_above(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;

    bench_init(bench);
    bench_run(bench,
              "INSERT INTO notification(id, data) VALUES (4000000000000, 'far ahead');"
              "DELETE FROM notification; DROP TABLE notification");
    bench_expect_refusal(bench, STORE_READ, NULL, "has no table notification");
    assert_int_equal(try_init(bench, NULL, &result), 0);
    assert_true(result.created);
    assert_int_equal(bench_ask(bench, "SELECT base FROM rowcast_meta"),
                     INT64_C(4000000000000));
    bench_run(bench, "INSERT INTO notification(data) VALUES ('x')");
    assert_int_equal(bench_ask(bench, "SELECT id FROM notification"),
                     INT64_C(4000000000001));
}

/* rebase asks whether another program has the file open, and its locks tell nothing of one in this
 * process. */
static void
close_other(struct bench *bench)
{
    sqlite3_close(bench->other);
    bench->other = NULL;
}

static void
test_rebase(void **state)
{
    struct bench *bench = *state;
    struct store_config config = bench_config(bench, STORE_WRITE);
    int64_t base = 0;

    bench_init(bench);
    bench_run(bench, "INSERT INTO notification(data) VALUES ('x')");
    int64_t id = bench_ask(bench, "SELECT id FROM notification");
    close_other(bench);
    assert_int_equal(store_rebase(&config, INT64_C(5000000000000), &base, &bench->error),
                     0);
    assert_int_equal(base, INT64_C(5000000000001));
    assert_int_equal(bench_ask(bench, "SELECT base FROM rowcast_meta"), base);
    close_other(bench);
    assert_int_equal(store_rebase(&config, 0, &base, &bench->error), 0);
    assert_int_equal(base, INT64_C(5000000000002));
    bench_run(bench, "INSERT INTO notification(data) VALUES ('y')");
    assert_int_equal(bench_ask(bench, "SELECT max(id) FROM notification"), base + 1);
    assert_int_equal(bench_ask(bench, "SELECT min(id) FROM notification"), id);
    close_other(bench);
    assert_int_equal(store_rebase(&config, INT64_MAX, &base, &bench->error), -1);
    close_other(bench);
    assert_int_equal(store_rebase(&config, ROW_ID_MAX, &base, &bench->error), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_init_twice_is_harmless),
        BENCH_TEST(test_migration_takes_each_step),
        BENCH_TEST(test_migration_begins_anywhere),
        BENCH_TEST(test_migration_fails_as_a_whole),
        BENCH_TEST(test_migration_waits_for_the_writer),
        BENCH_TEST(test_table_names),
        BENCH_TEST(test_init_refuses),
        BENCH_TEST(test_dropped_table_goes_on_above),
        BENCH_TEST(test_rebase),
    };

    return RUN(tests);
}
