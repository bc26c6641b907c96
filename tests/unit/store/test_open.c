/* test_open.c - opening, and what changes while it is open. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_bench.h"

#define TEST_NAME "open"

/* --- opening ------------------------------------------------------------------------- */

static void
test_open_says_what_to_do(void **state)
{
    struct bench *bench = *state;

    bench_expect_refusal(bench, STORE_READ, NULL, "create it with `rowcast init --db");
    assert_int_equal(access(bench->path, F_OK), -1);
    bench_run(bench, "CREATE TABLE other(id INTEGER PRIMARY KEY, words TEXT)");
    bench_expect_refusal(bench, STORE_READ, NULL, "has no table notification");
    bench_expect_refusal(bench, STORE_READ, "more", "--table more");
    bench_expect_refusal(bench, STORE_READ, "other", "has no column data");
    bench_run(bench, "ALTER TABLE other RENAME words TO data");
    bench_expect_refusal(bench, STORE_WRITE, "other", "not made by rowcast");
    bench_init(bench);
    bench_run(bench, "UPDATE rowcast_meta SET schema_version = schema_version + 1");
    bench_expect_refusal(bench, STORE_READ, NULL, "upgrade rowcast");
    struct store_config folder = {.path = bench->folder};
    assert_null(store_open(&folder, NULL, &bench->error));
    assert_non_null(strstr(bench->error.text, "not a regular file"));
}

static void
test_open_of_another_kind_of_file(void **state)
{
    struct bench *bench = *state;
    FILE *file = fopen(bench->path, "w");

    assert_non_null(file);
    for (int i = 0; i < 200; i++)
        fputs("this is not SQLite ", file);
    fclose(file);
    bench_expect_refusal(bench, STORE_READ, NULL, "not an SQLite database");
}

/* As a schema with words of a later SQLite looks: the file is sound. */
static void
test_schema_of_a_newer_sqlite(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    bench_run(bench,
              "CREATE TABLE t(a); CREATE INDEX i ON t(a); PRAGMA writable_schema = 1;"
              "UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t(a) HASHED' "
              "WHERE name = 'i'");
    bench_expect_refusal(bench, STORE_READ, NULL, sqlite3_libversion());
    assert_null(strstr(bench->error.text, "recover"));
    assert_null(strstr(bench->error.text, "damaged"));
}

static void
test_reader_cannot_write(void **state)
{
    struct bench *bench = *state;
    struct row row = {.data = slice_of("x")};
    int64_t id;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_FAILED);
    /* Nor does it run what is not harmless in a schema that it did not make. */
    int defensive = 0;
    int trusted = 1;
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1, &trusted);
    assert_int_equal(defensive, 1);
    /* SQLite 3.38 to 3.40 take their own JSON functions for unsafe (tests/track.bats has the
     * case). */
    int version = sqlite3_libversion_number();
    assert_true(trusted == 0 || (version >= 3038000 && version < 3042000));
    store_close(store);
    store_close(NULL);
}

/* What the error says to a user without rights; as root in a child that gives root up. */
static void
expect_right(const char *path, enum store_mode mode, const char *text)
{
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error = {{0}};
        if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0))
            _exit(2);
        bool found = store_diagnose_rights(path, mode, &error);
        bool right = text == NULL ? !found : strstr(error.text, text) != NULL;
        if (!right)
            fprintf(stderr, "# expected \"%s\", got \"%s\"\n",
                    text != NULL ? text : "(nothing)", error.text);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void
touch(const char *path, const char *suffix, mode_t mode)
{
    char name[128];

    snprintf(name, sizeof name, "%s%s", path, suffix);
    if (access(name, F_OK) != 0) {
        FILE *file = fopen(name, "w");
        assert_non_null(file);
        fclose(file);
    }
    assert_int_equal(chmod(name, mode), 0);
}

static void
test_missing_rights_are_named(void **state)
{
    struct bench *bench = *state;
    mode_t all = 0777;

    touch(bench->path, "", 0666);
    assert_int_equal(chmod(bench->folder, 0666), 0);
    expect_right(bench->path, STORE_READ, "may not enter the folder /tmp/rowcast-store");
    assert_int_equal(chmod(bench->folder, all), 0);
    expect_right(bench->path, STORE_WRITE, NULL);
    touch(bench->path, "", 0444);
    expect_right(bench->path, STORE_WRITE, "may not write ");
    expect_right(bench->path, STORE_READ, NULL);
    touch(bench->path, "", 0200);
    expect_right(bench->path, STORE_READ, "may not read ");
    touch(bench->path, "", 0666);
    touch(bench->path, "-wal", 0200);
    expect_right(bench->path, STORE_READ, "test.db-wal");
    touch(bench->path, "-wal", 0666);
    touch(bench->path, "-shm", 0444);
    expect_right(bench->path, STORE_READ, NULL);
    expect_right(bench->path, STORE_WRITE, "test.db-shm");
    touch(bench->path, "-shm", 0666);
    assert_int_equal(chmod(bench->folder, 0555), 0);
    expect_right(bench->path, STORE_READ, NULL);
    expect_right(bench->path, STORE_WRITE, "may not write the folder");
    assert_int_equal(chmod(bench->folder, all), 0);
}

/* --- changes ------------------------------------------------------------------------- */

static void
test_sees_other_connections_commits(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    assert_true(bench_has_changed(store));
    assert_false(bench_has_changed(store));
    bench_run(bench, "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('x')");
    assert_false(bench_has_changed(store));
    bench_run(bench, "COMMIT");
    assert_true(bench_has_changed(store));
    assert_false(bench_has_changed(store));
    store_close(store);
}

static void
test_sees_a_replaced_file(void **state)
{
    struct bench *bench = *state;
    char moved[128];

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_READ);
    assert_false(store_has_moved(store));
    snprintf(moved, sizeof moved, "%s.old", bench->path);
    assert_int_equal(rename(bench->path, moved), 0);
    assert_true(store_has_moved(store));
    touch(bench->path, "", 0644);
    assert_true(store_has_moved(store));
    assert_int_equal(rename(moved, bench->path), 0);
    assert_false(store_has_moved(store));
    store_close(store);
}

static void
test_survives_a_schema_change(void **state)
{
    struct bench *bench = *state;

    bench_init(bench);
    struct store *store = bench_open(bench, STORE_WRITE);
    bench_insert_on(store, "a", NULL, NULL);
    assert_int_equal(bench_read_all(store).count, 1);
    bench_run(bench, "ALTER TABLE notification ADD COLUMN more TEXT; CREATE TABLE t(a)");
    bench_insert_on(store, "a", NULL, NULL);
    assert_int_equal(bench_read_all(store).count, 2);
    store_close(store);
}

/* What was read has shown how long the WAL was: nobody has to look between the commit and the
 * cut. */
static void
test_wal_cut_off_is_seen(void **state)
{
    struct bench *bench = *state;
    char wal[PATH_MAX];

    bench_init(bench);
    snprintf(wal, sizeof wal, "%s-wal", bench->path);
    assert_int_equal(bench_ask(bench, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    struct store *store = bench_open(bench, STORE_READ);
    bench_run(bench, "INSERT INTO notification(data) VALUES (1)");
    assert_int_equal(store_begin_read(store, &bench->error), STORE_OK);
    bench_marks(store);
    store_end_read(store);
    assert_int_equal(truncate(wal, 0), 0);
    store_begin_read(store, &bench->error); /* out of the cache */
    bench_marks(store);
    store_end_read(store);
    assert_int_equal(store_check_wal(store, &bench->error), STORE_FAILED);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_open_says_what_to_do),
        BENCH_TEST(test_open_of_another_kind_of_file),
        BENCH_TEST(test_schema_of_a_newer_sqlite),
        BENCH_TEST(test_reader_cannot_write),
        BENCH_TEST(test_missing_rights_are_named),
        BENCH_TEST(test_sees_other_connections_commits),
        BENCH_TEST(test_sees_a_replaced_file),
        BENCH_TEST(test_survives_a_schema_change),
        BENCH_TEST(test_wal_cut_off_is_seen),
    };

    return RUN(tests);
}
