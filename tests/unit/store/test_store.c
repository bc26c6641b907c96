/* test_store.c - the store: opening, reading ranges, marks, writing, pruning, the schema.
 *
 * Each test has a folder of its own. What another program does to the database is done with
 * SQLite directly, on a connection of its own. */
#include "config.h"

#include "store/store.h"
#include "store/internal.h"

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit.h"

#define TEST_NAME "store"
#define SQL_MAX 1024

struct bench {
    char folder[64];
    char path[96];
    sqlite3 *other; /* the application's connection */
    struct error error;
};

/* --- the bench -------------------------------------------------------------------------------- */

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static int
bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    strcpy(bench->folder, "/tmp/rowcast-store.XXXXXX");
    if (mkdtemp(bench->folder) == NULL)
        return -1;
    snprintf(bench->path, sizeof bench->path, "%s/test.db", bench->folder);
    *state = bench;
    return 0;
}

static int
bench_teardown(void **state)
{
    struct bench *bench = *state;

    sqlite3_close(bench->other);
    nftw(bench->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(bench);
    return 0;
}

/* Runs SQL as the application would. */
static int
try_sql(struct bench *bench, const char *sql)
{
    if (bench->other == NULL) {
        assert_int_equal(sqlite3_open(bench->path, &bench->other), SQLITE_OK);
        sqlite3_busy_timeout(bench->other, 1000);
    }
    return sqlite3_exec(bench->other, sql, NULL, NULL, NULL);
}

static void
run_sql(struct bench *bench, const char *sql)
{
    int code = try_sql(bench, sql);

    CHECK(code == SQLITE_OK, "%s: %s\n", sql, sqlite3_errmsg(bench->other));
}

static int64_t
ask_sql(struct bench *bench, const char *sql)
{
    sqlite3_stmt *statement;

    try_sql(bench, "");
    CHECK(sqlite3_prepare_v2(bench->other, sql, -1, &statement, NULL) == SQLITE_OK,
          "%s: %s\n", sql, sqlite3_errmsg(bench->other));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static struct store_config
config_of(const struct bench *bench, enum store_mode mode)
{
    return (struct store_config){.path = bench->path, .mode = mode};
}

static void
init(struct bench *bench)
{
    struct store_config config = config_of(bench, STORE_WRITE);
    struct store_init_result result;

    CHECK(store_init(&config, STORE_JOURNAL_WAL, &result, &bench->error) == 0, "%s\n",
          bench->error.text);
}

static struct store *
open_table_as(struct bench *bench, enum store_mode mode, const char *table)
{
    struct store_config config = config_of(bench, mode);

    config.table = table;
    struct store *store = store_open(&config, NULL, &bench->error);
    CHECK(store != NULL, "%s\n", bench->error.text);
    return store;
}

static struct store *
open_as(struct bench *bench, enum store_mode mode)
{
    return open_table_as(bench, mode, NULL);
}

/* Inserts a row and returns its id. */
static int64_t
insert(struct store *store, struct row row)
{
    struct error error;
    int64_t id = 0;

    CHECK(store_insert(store, &row, &id, &error) == STORE_OK, "%s\n", error.text);
    return id;
}

static int64_t
insert_on(struct store *store, const char *channel, const char *user, const char *key)
{
    return insert(store, (struct row){.channel = slice_of(channel),
                                      .recipient = slice_of(user),
                                      .collapse_key = slice_of(key),
                                      .data = slice_of("x")});
}

static struct store_marks
marks_of(struct store *store)
{
    struct store_marks marks;
    struct error error;

    CHECK(store_read_marks(store, &marks, &error) == STORE_OK, "%s\n", error.text);
    return marks;
}

/* --- collecting rows -------------------------------------------------------------------------- */

#define SEEN_MAX 256

struct seen {
    int64_t ids[SEEN_MAX];
    size_t count;
    size_t stop_after; /* 0: never */
    const struct filter *filter;
    struct store_progress progress;
};

static enum store_step
see(void *arg, const struct row *row)
{
    struct seen *seen = arg;

    if (seen->filter != NULL && !filter_matches(seen->filter, row->channel, row->recipient))
        return STORE_MORE;
    assert_true(seen->count < SEEN_MAX);
    seen->ids[seen->count++] = row->id;
    return seen->count == seen->stop_after ? STORE_STOP : STORE_MORE;
}

static void
read_into(struct store *store, struct seen *seen, struct store_range range)
{
    struct error error;

    CHECK(store_read_range(store, &range, see, seen, &seen->progress, &error) == STORE_OK,
          "%s\n", error.text);
}

static struct seen
read_all(struct store *store)
{
    struct seen seen = {0};

    read_into(store, &seen,
              (struct store_range){
                  .after = INT64_MIN, .up_to = ROW_ID_MAX, .max_rows = SEEN_MAX});
    return seen;
}

/* A copy of the only row's texts. */
struct copy {
    struct row row;
    char channel[64];
    char data[64];
    size_t rows;
};

static enum store_step
copy_row(void *arg, const struct row *row)
{
    struct copy *copy = arg;

    copy->row = *row;
    copy->rows++;
    assert_true(row->data.len <= sizeof copy->data &&
                row->channel.len < sizeof copy->channel);
    if (row->data.p != NULL)
        memcpy(copy->data, row->data.p, row->data.len);
    if (row->channel.p != NULL)
        memcpy(copy->channel, row->channel.p, row->channel.len);
    return STORE_MORE;
}

static struct copy
read_copy(struct store *store)
{
    struct copy copy = {0};
    struct store_progress progress;
    struct error error;
    struct store_range range = {.after = INT64_MIN, .up_to = ROW_ID_MAX, .max_rows = 10};

    CHECK(store_read_range(store, &range, copy_row, &copy, &progress, &error) == STORE_OK,
          "%s\n", error.text);
    return copy;
}

/* --- opening ---------------------------------------------------------------------------------- */

static void
expect_refusal(struct bench *bench, enum store_mode mode, const char *table,
               const char *text)
{
    struct store_config config = config_of(bench, mode);
    bool busy = true;

    config.table = table;
    assert_null(store_open(&config, &busy, &bench->error));
    assert_false(busy);
    CHECK(strstr(bench->error.text, text) != NULL, "\"%s\" is not in \"%s\"\n", text,
          bench->error.text);
}

static void
test_open_says_what_to_do(void **state)
{
    struct bench *bench = *state;

    expect_refusal(bench, STORE_READ, NULL, "create it with `rowcast init --db");
    assert_int_equal(access(bench->path, F_OK), -1);
    run_sql(bench, "CREATE TABLE other(id INTEGER PRIMARY KEY, words TEXT)");
    expect_refusal(bench, STORE_READ, NULL, "has no table notification");
    expect_refusal(bench, STORE_READ, "more", "--table more");
    expect_refusal(bench, STORE_READ, "other", "has no column data");
    run_sql(bench, "ALTER TABLE other RENAME words TO data");
    expect_refusal(bench, STORE_WRITE, "other", "not made by rowcast");
    init(bench);
    run_sql(bench, "UPDATE rowcast_meta SET schema_version = schema_version + 1");
    expect_refusal(bench, STORE_READ, NULL, "upgrade rowcast");
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
    expect_refusal(bench, STORE_READ, NULL, "not an SQLite database");
}

/* As a schema with words of a later SQLite looks: the file is sound. */
static void
test_schema_of_a_newer_sqlite(void **state)
{
    struct bench *bench = *state;

    init(bench);
    run_sql(bench, "CREATE TABLE t(a); CREATE INDEX i ON t(a); PRAGMA writable_schema = 1;"
                   "UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t(a) HASHED' "
                   "WHERE name = 'i'");
    expect_refusal(bench, STORE_READ, NULL, sqlite3_libversion());
    assert_null(strstr(bench->error.text, "recover"));
    assert_null(strstr(bench->error.text, "damaged"));
}

static void
test_reader_cannot_write(void **state)
{
    struct bench *bench = *state;
    struct row row = {.data = slice_of("x")};
    int64_t id;

    init(bench);
    struct store *store = open_as(bench, STORE_READ);
    assert_int_equal(store_insert(store, &row, &id, &bench->error), STORE_FAILED);
    /* Nor does it run what is not harmless in a schema that it did not make. */
    int defensive = 0;
    int trusted = 1;
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1, &trusted);
    assert_int_equal(defensive, 1);
    assert_int_equal(trusted, 0);
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

/* --- changes ---------------------------------------------------------------------------------- */

static bool
has_changed(struct store *store)
{
    bool changed;
    struct error error;

    assert_int_equal(store_changed(store, &changed, &error), STORE_OK);
    return changed;
}

static void
test_sees_other_connections_commits(void **state)
{
    struct bench *bench = *state;

    init(bench);
    struct store *store = open_as(bench, STORE_READ);
    assert_true(has_changed(store));
    assert_false(has_changed(store));
    run_sql(bench, "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('x')");
    assert_false(has_changed(store));
    run_sql(bench, "COMMIT");
    assert_true(has_changed(store));
    assert_false(has_changed(store));
    store_close(store);
}

static void
test_sees_a_replaced_file(void **state)
{
    struct bench *bench = *state;
    char moved[128];

    init(bench);
    struct store *store = open_as(bench, STORE_READ);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    insert_on(store, "a", NULL, NULL);
    assert_int_equal(read_all(store).count, 1);
    run_sql(bench, "ALTER TABLE notification ADD COLUMN more TEXT; CREATE TABLE t(a)");
    insert_on(store, "a", NULL, NULL);
    assert_int_equal(read_all(store).count, 2);
    store_close(store);
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void
test_range_is_bounded_on_both_sides(void **state)
{
    struct bench *bench = *state;
    int64_t ids[6];

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    read_into(store, &seen,
              (struct store_range){.after = ids[0], .up_to = ids[3], .max_rows = 100});
    assert_int_equal(seen.count, 3);
    assert_memory_equal(seen.ids, ids + 1, 3 * sizeof *ids);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);

    seen = (struct seen){0};
    read_into(store, &seen,
              (struct store_range){.after = ids[5], .up_to = ids[5] + 10, .max_rows = 100});
    assert_int_equal(seen.count, 0);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[5] + 10);

    seen = (struct seen){0};
    read_into(store, &seen,
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    struct store_range range = {.after = 0, .up_to = ids[5], .max_rows = 4};
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 4);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[3]);
    range.after = seen.progress.last;
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 6);
    assert_true(seen.progress.complete);
    assert_memory_equal(seen.ids, ids, sizeof ids);

    seen = (struct seen){.stop_after = 2};
    range.after = 0;
    read_into(store, &seen, range);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    insert(store, (struct row){.data = {bytes, sizeof bytes - 1}, .expires_at = 77});
    struct copy copy = read_copy(store);
    assert_int_equal(copy.row.data.len, sizeof bytes - 1);
    assert_memory_equal(copy.data, bytes, sizeof bytes - 1);
    assert_string_equal(copy.channel, "default");
    assert_null(copy.row.event.p);
    assert_null(copy.row.recipient.p);
    assert_null(copy.row.collapse_key.p);
    assert_int_equal(copy.row.expires_at, 77);
    assert_true(copy.row.created_at > INT64_C(1700000000000));

    run_sql(bench, "UPDATE notification SET data = x'00ff'");
    copy = read_copy(store);
    assert_int_equal(copy.row.data_bytes, 2);
    assert_memory_equal(copy.data, "\0\xff", 2);
    run_sql(bench, "UPDATE notification SET data = ''");
    copy = read_copy(store);
    assert_non_null(copy.row.data.p);
    assert_int_equal(copy.row.data.len, 0);
    run_sql(bench, "UPDATE notification SET data = x''");
    assert_non_null(read_copy(store).row.data.p);
    store_close(store);
}

static void
test_large_data_is_not_handed_out(void **state)
{
    struct bench *bench = *state;

    init(bench);
    run_sql(bench, "INSERT INTO notification(data) VALUES ('12345678')");
    struct store_config config = config_of(bench, STORE_READ);
    config.max_event_bytes = 8;
    struct store *store = store_open(&config, NULL, &bench->error);
    assert_false(read_copy(store).row.too_large);
    run_sql(bench, "UPDATE notification SET data = '123456789'");
    struct copy copy = read_copy(store);
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

    run_sql(bench, "PRAGMA encoding = 'UTF-16'; CREATE TABLE app(a)");
    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    insert(store, (struct row){.channel = slice_of("k\xc3\xa4se"), .data = slice_of(text)});
    struct copy copy = read_copy(store);
    assert_string_equal(copy.channel, "k\xc3\xa4se");
    assert_int_equal(copy.row.data.len, sizeof text - 1);
    assert_memory_equal(copy.data, text, sizeof text - 1);
    store_close(store);
}

/* --- narrowing -------------------------------------------------------------------------------- */

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
        insert_on(store, channels[i * 7 % 4], users[i * 5 % 3], NULL);
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
    read_into(store, &plain, range);
    range.narrow = &filter;
    range.max_rows = page;
    do {
        read_into(store, &narrow, range);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    fill_mixed(store);
    request(&filter, "a b");
    struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = 10, .narrow = &filter};
    read_into(store, &seen, range);
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

    init(bench);
    run_sql(bench,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
            "INSERT INTO notification(channel, data, created_at, expires_at) "
            "SELECT 'news', printf('%.*c', 200000, 'x'), i, 4102444800000 FROM n");
    struct store *store = open_as(bench, STORE_READ);
    struct store_range range = {.up_to = ROW_ID_MAX, .max_rows = 1000, .narrow = &filter};
    request(&filter, "zz*");
    pages_read(store);
    read_into(store, &seen, range);
    assert_true(seen.progress.complete);
    CHECK(pages_read(store) < 500, "%s", "");
    assert_int_equal(store_read_back(store, &range, see, &seen, &progress, &bench->error),
                     STORE_OK);
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
    struct store_config config = config_of(bench, STORE_READ);
    struct copy copy = {0};
    struct store_progress progress;
    struct filter filter = {0};
    static const char *const patterns[] = {NULL, "a", "a*"};
    int64_t size = 30000000;

    init(bench);
    run_sql(bench, "INSERT INTO notification(channel, data) VALUES ('a', 'before'), "
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
        read_into(store, &seen, range);
        CHECK(sqlite3_memory_highwater(0) - before < 2000000, "%s", "read into memory\n");
        assert_int_equal(seen.count, 3);
        assert_true(seen.progress.complete);

        range.after = seen.ids[0];
        range.max_rows = 1;
        assert_int_equal(
            store_read_range(store, &range, copy_row, &copy, &progress, &bench->error),
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

    init(bench);
    run_sql(
        bench,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "INSERT INTO notification(data) SELECT i FROM n");
    struct store *store = open_as(bench, STORE_READ);
    struct store_range range = {
        .up_to = ROW_ID_MAX, .max_rows = 100000, .until_ns = 1, .narrow = &filter};
    request(&filter, "zz*");
    read_into(store, &seen, range);
    assert_false(seen.progress.complete);
    int64_t steps = seen.progress.last - marks_of(store).base;
    CHECK(steps > 0 && steps <= 64, "%lld\n", (long long)steps);
    range.narrow = NULL;
    range.after = 0;
    read_into(store, &seen, range);
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

    init(bench);
    run_sql(bench, "SELECT 1");
    struct store *store = open_as(bench, STORE_READ);
    for (int reading = 0; reading < STORE_READINGS; reading++) {
        for (unsigned way = 0; way < STORE_WAYS; way++)
            expect_plan(store_read_statement(store, (enum store_reading)reading, way,
                                             &result, NULL));
    }
    store_close(store);
}

/* --- collapsing ------------------------------------------------------------------------------- */

static void
test_collapse_keeps_the_newest(void **state)
{
    struct bench *bench = *state;
    int64_t ids[8];

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    ids[0] = insert_on(store, "a", NULL, "k");  /* replaced by 5 */
    ids[1] = insert_on(store, "a", "ann", "k"); /* another recipient: replaced by 6 */
    ids[2] = insert_on(store, "b", NULL, "k");  /* another channel */
    ids[3] = insert_on(store, "a", NULL, NULL); /* never collapsed */
    ids[4] = insert_on(store, "a", NULL, "l");  /* another key */
    ids[5] = insert_on(store, "a", NULL, "k");
    ids[6] = insert_on(store, "a", "ann", "k");
    ids[7] = insert_on(store, "a", NULL, NULL);

    struct seen seen = {0};
    struct store_range range = {.up_to = ids[7], .max_rows = 100, .collapse = true};
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 6);
    assert_memory_equal(seen.ids, ids + 2, 6 * sizeof *ids);

    seen = (struct seen){0};
    range.up_to = ids[5]; /* the newer one for ann lies beyond it */
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 5);
    assert_memory_equal(seen.ids, ids + 1, 5 * sizeof *ids);

    seen = (struct seen){0};
    range.newest = ids[7]; /* and is looked for there, as a search in steps does */
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 4);
    assert_memory_equal(seen.ids, ids + 2, 4 * sizeof *ids);
    range.newest = 0;

    seen = (struct seen){0};
    range.max_rows = 1; /* the row that is left out was looked at */
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 0);
    assert_false(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[0]);
    store_close(store);
}

/* --- backwards -------------------------------------------------------------------------------- */

static void
test_backwards(void **state)
{
    struct bench *bench = *state;
    int64_t ids[5];
    struct seen seen = {.stop_after = 2};

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = insert_on(store, i % 2 == 0 ? "a" : "b", NULL, NULL);
    struct store_range range = {.after = ids[0] - 1, .up_to = ids[4], .max_rows = 100};
    assert_int_equal(
        store_read_back(store, &range, see, &seen, &seen.progress, &bench->error),
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
    assert_int_equal(
        store_read_back(store, &range, see, &seen, &seen.progress, &bench->error),
        STORE_OK);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ids[2], ids[0]);
    assert_true(seen.progress.complete);
    assert_int_equal(seen.progress.last, ids[0]);
    filter_fini(&filter);

    struct copy copy = {0};
    range = (struct store_range){.up_to = ids[0], .max_rows = 1};
    assert_int_equal(
        store_read_back(store, &range, copy_row, &copy, &seen.progress, &bench->error),
        STORE_OK);
    assert_null(copy.row.data.p);
    assert_false(copy.row.too_large);
    assert_string_equal(copy.channel, "a");
    store_close(store);
}

/* --- marks and time --------------------------------------------------------------------------- */

static void
test_marks(void **state)
{
    struct bench *bench = *state;

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    struct store_marks marks = marks_of(store);
    int64_t base = marks.base;
    assert_true(base > INT64_C(1700000000000));
    assert_int_equal(marks.low_water, base);
    assert_int_equal(marks.tail, base);
    assert_int_equal(marks.lowest, base + 1);

    for (int i = 1; i <= 5; i++)
        assert_int_equal(insert_on(store, "a", NULL, NULL), base + i);
    run_sql(bench,
            "DELETE FROM notification WHERE id % 2 = (SELECT base % 2 FROM rowcast_meta)");
    marks = marks_of(store);
    assert_int_equal(marks.base, base);
    assert_int_equal(marks.low_water, base + 4);
    assert_int_equal(marks.lowest, base + 1);
    assert_int_equal(marks.tail, base + 5);

    run_sql(bench, "DELETE FROM notification");
    marks = marks_of(store);
    assert_int_equal(marks.low_water, base + 5);
    assert_int_equal(marks.lowest, base + 6);
    assert_int_equal(marks.tail, base + 5);
    assert_int_equal(insert_on(store, "a", NULL, NULL), base + 6);
    store_close(store);
}

static void
test_snapshot_holds(void **state)
{
    struct bench *bench = *state;

    init(bench);
    struct store *store = open_as(bench, STORE_READ);
    assert_int_equal(store_begin_read(store, &bench->error), STORE_OK);
    int64_t tail = marks_of(store).tail;
    run_sql(bench, "INSERT INTO notification(data) VALUES ('x')");
    assert_int_equal(marks_of(store).tail, tail);
    assert_int_equal(read_all(store).count, 0);
    store_end_read(store);
    store_end_read(store);
    assert_int_equal(marks_of(store).tail, tail + 1);
    assert_int_equal(read_all(store).count, 1);
    store_close(store);
}

static void
test_no_read_transaction_stays(void **state)
{
    struct bench *bench = *state;
    struct seen seen = {.stop_after = 1};

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    insert_on(store, "a", NULL, NULL);
    insert_on(store, "a", NULL, NULL);
    read_into(store, &seen, (struct store_range){.up_to = ROW_ID_MAX, .max_rows = 10});
    marks_of(store);
    has_changed(store);
    /* A checkpoint that truncates the WAL needs every reader gone. */
    assert_int_equal(ask_sql(bench, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    store_close(store);
}

static enum store_result
find_time(struct bench *bench, struct store *store, int64_t created_at_ms, int64_t *cursor)
{
    struct store_time time = {.created_at_ms = created_at_ms, .now_ms = 1000};

    return store_find_time(store, &time, cursor, &bench->error);
}

static void
test_find_time(void **state)
{
    struct bench *bench = *state;
    int64_t cursor;

    init(bench);
    run_sql(bench, "INSERT INTO notification(data, created_at) VALUES "
                   "(1, 100), (2, 200), (3, 300), (4, 300), (5, 400), (6, 500);"
                   "INSERT INTO notification(id, data, created_at) "
                   "SELECT max(id) + 1000000007, 7, 700 FROM notification;"
                   "DELETE FROM notification WHERE created_at = 200");
    struct store *store = open_as(bench, STORE_READ);
    struct store_marks marks = marks_of(store);
    int64_t base = marks.base;
    const struct {
        int64_t time;
        int64_t expected;
    } cases[] = {
        {0, base},        {100, base},     {101, base + 2},       {300, base + 2},
        {301, base + 4},  {500, base + 5}, {501, marks.tail - 1}, {700, marks.tail - 1},
        {701, marks.tail}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(find_time(bench, store, cases[i].time, &cursor), STORE_OK);
        CHECK(cursor == cases[i].expected, "time %d: %lld, not %lld\n", (int)cases[i].time,
              (long long)cursor, (long long)cases[i].expected);
    }
    run_sql(bench, "DELETE FROM notification");
    assert_int_equal(find_time(bench, store, 0, &cursor), STORE_OK);
    assert_int_equal(cursor, marks.tail);
    store_close(store);
}

/* --- foreign tables --------------------------------------------------------------------------- */

static void
test_foreign_table(void **state)
{
    struct bench *bench = *state;

    run_sql(bench,
            "CREATE TABLE \"odd \"\"name\"(ID, Data, created_at);"
            "INSERT INTO \"odd \"\"name\" VALUES (-5, 'minus', '2025-11-22'), (3, NULL, 9),"
            "(7, 12, NULL), (8.5, 'real', 1), (9007199254740992, 'high', 1),"
            "(-9223372036854775808, 'low', 1)");
    struct store *store = open_table_as(bench, STORE_READ, "odd \"NAME");
    struct seen seen = read_all(store);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ids[0], -5);
    assert_int_equal(seen.ids[2], 7);
    struct copy copy = read_copy(store);
    assert_int_equal(copy.rows, 3);
    assert_int_equal(copy.row.data.len, 2);
    assert_null(copy.row.channel.p);
    struct store_marks marks = marks_of(store);
    assert_int_equal(marks.base, 0);
    assert_int_equal(marks.lowest, -5);
    assert_int_equal(marks.low_water, -6);
    assert_int_equal(marks.tail, 7);
    run_sql(bench, "DELETE FROM \"odd \"\"name\"");
    marks = marks_of(store);
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

    run_sql(bench, "CREATE TABLE t(id, data)");
    struct store *store = open_table_as(bench, STORE_READ, "t");
    for (size_t i = 0; i < COUNT(rows); i++) {
        run_sql(bench, "DELETE FROM t; INSERT INTO t VALUES (1, 'one'), (2, 'two')");
        assert_int_equal(marks_of(store).tail, 2);
        run_sql(bench, rows[i]);
        assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_FAILED);
        CHECK(strstr(bench->error.text, "no integer") != NULL, "%s\n", bench->error.text);
    }
    store_close(store);
    run_sql(bench, "CREATE TABLE u(id TEXT PRIMARY KEY, data)");
    expect_refusal(bench, STORE_READ, "u", "id of table u is declared TEXT");
}

/* The same below and above any number of ids: a text is a time in UTC, as SQLite writes it. */
static void
test_foreign_times(void **state)
{
    struct bench *bench = *state;
    static const int64_t counts[] = {10, 50000};

    run_sql(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY, data, created_at TEXT)");
    for (size_t i = 0; i < COUNT(counts); i++) {
        char sql[400];
        int64_t cursor;
        snprintf(
            sql, sizeof sql,
            "DELETE FROM t; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            "WHERE i < %lld) INSERT INTO t SELECT i, 'x', datetime('2026-11-28', "
            "printf('+%%d seconds', i)) FROM n",
            (long long)counts[i]);
        run_sql(bench, sql);
        struct store *store = open_table_as(bench, STORE_READ, "t");
        /* 2026-11-28 00:00:05 */
        struct store_time time = {.created_at_ms = INT64_C(1795824005000),
                                  .now_ms = INT64_MAX};
        assert_int_equal(store_find_time(store, &time, &cursor, &bench->error), STORE_OK);
        assert_int_equal(cursor, 4);
        struct copy copy = read_copy(store);
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

    run_sql(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY, data, channel, collapse_key);"
                   "INSERT INTO t VALUES (1, 'old', 'a', 'k'), (2, 'new', 'a', 'k')");
    struct store *store = open_table_as(bench, STORE_READ, "t");
    assert_true(store_ignores_keys(store));
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 2);
    store_close(store);
    run_sql(bench, "CREATE INDEX t_key ON t(collapse_key)");
    store = open_table_as(bench, STORE_READ, "t");
    assert_false(store_ignores_keys(store));
    seen = (struct seen){0};
    read_into(store, &seen, range);
    assert_int_equal(seen.count, 1);
    store_close(store);
}

static void
test_foreign_view(void **state)
{
    struct bench *bench = *state;
    int64_t cursor;

    run_sql(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, words TEXT);"
                   "CREATE VIEW v AS SELECT id, words AS data FROM t;"
                   "INSERT INTO t(words) VALUES ('one'), ('two'), ('three');"
                   "ALTER TABLE t ADD COLUMN data; DELETE FROM t WHERE id <> 2");
    struct store *store = open_table_as(bench, STORE_READ, "v");
    assert_int_equal(read_all(store).count, 1);
    assert_int_equal(marks_of(store).low_water, 1);
    assert_int_equal(find_time(bench, store, 1, &cursor), STORE_OK);
    assert_int_equal(cursor, 2);
    store_close(store);
    store = open_table_as(bench, STORE_READ, "t");
    assert_int_equal(marks_of(store).tail, 3); /* from sqlite_sequence */
    store_close(store);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
test_transactions(void **state)
{
    struct bench *bench = *state;

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    assert_int_equal(store_begin_write(store, &bench->error), STORE_OK);
    int64_t id = insert_on(store, "a", NULL, NULL);
    assert_int_equal(ask_sql(bench, "SELECT count(*) FROM notification"), 0);
    store_rollback(store);
    store_rollback(store);
    assert_int_equal(store_begin_write(store, &bench->error), STORE_OK);
    assert_int_equal(insert_on(store, "a", NULL, NULL), id);
    assert_int_equal(store_commit(store, &bench->error), STORE_OK);
    assert_int_equal(ask_sql(bench, "SELECT count(*) FROM notification"), 1);
    store_close(store);
}

static void
test_refused_rows_are_explained(void **state)
{
    struct bench *bench = *state;
    struct row row = {.event = slice_of("open"), .data = slice_of("x")};
    int64_t id;

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    run_sql(bench, "BEGIN IMMEDIATE");
    assert_int_equal(store_begin_write(store, &bench->error), STORE_BUSY);
    assert_non_null(strstr(bench->error.text, "locked"));
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_OK);
    run_sql(bench, "COMMIT");
    store_close(store);

    run_sql(bench, "PRAGMA journal_mode = DELETE");
    store = open_as(bench, STORE_READ);
    run_sql(bench, "BEGIN EXCLUSIVE");
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_BUSY);
    struct store_config config = config_of(bench, STORE_READ);
    assert_null(store_open(&config, &busy, &bench->error));
    assert_true(busy);
    run_sql(bench, "COMMIT");
    assert_int_equal(store_read_marks(store, &marks, &bench->error), STORE_OK);
    store_close(store);
}

static void
test_full_disk(void **state)
{
    struct bench *bench = *state;
    char *data = malloc(1000000);
    int64_t id;

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
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
    assert_int_equal(read_all(store).count, 1);
    store_close(store);
    free(data);
}

/* --- pruning ---------------------------------------------------------------------------------- */

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

    init(bench);
    run_sql(bench, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
                   "INSERT INTO notification(data, created_at, expires_at) "
                   "SELECT i, i * 10, CASE WHEN i % 10 = 0 THEN i END FROM n");
    struct store *store = open_as(bench, STORE_WRITE);
    int64_t base = marks_of(store).base;

    assert_int_equal(prune_all(store, (struct store_prune){.max_rows = 7}), 0);
    assert_int_equal(prune_all(store, (struct store_prune){.older_than_ms = 201,
                                                           .now_ms = 100000,
                                                           .max_rows = 7}),
                     20);
    assert_int_equal(marks_of(store).lowest, base + 21);
    assert_int_equal(marks_of(store).low_water, base + 20);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 50, .max_rows = 1}),
                     30);
    assert_int_equal(marks_of(store).lowest, base + 51);
    assert_int_equal(
        prune_all(store, (struct store_prune){.expired_before_ms = 80, .max_rows = 2}), 2);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 40, .max_rows = 7}),
                     8);
    assert_int_equal(prune_all(store, (struct store_prune){.keep_rows = 10,
                                                           .older_than_ms = 975,
                                                           .expired_before_ms = 1000,
                                                           .max_rows = 7}),
                     38);
    assert_int_equal(read_all(store).count, 2);
    store_close(store);
}

/* A clock that was ahead, or microseconds, at the head of the table. */
static void
test_prune_passes_rows_of_the_future(void **state)
{
    struct bench *bench = *state;
    struct store_prune prune = {.older_than_ms = 1000, .now_ms = 5000, .max_rows = 10};

    init(bench);
    run_sql(
        bench,
        "INSERT INTO notification(data, created_at) VALUES "
        "(1, 9000000), (2, 10), (3, 9000000), (4, 20), (5, 9000000), (6, 2000), (7, 30)");
    struct store *store = open_as(bench, STORE_WRITE);
    assert_int_equal(prune_all(store, prune), 4);
    assert_int_equal(ask_sql(bench, "SELECT min(data) FROM notification"), 5);
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

    init(bench);
    struct store *store = open_as(bench, STORE_WRITE);
    insert_on(store, "a", NULL, NULL);
    run_sql(bench, "BEGIN IMMEDIATE");
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_OK);
    prune.older_than_ms = INT64_MAX;
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_BUSY);
    run_sql(bench, "COMMIT");
    assert_int_equal(store_prune(store, &prune, &deleted, &bench->error), STORE_OK);
    assert_int_equal(deleted, 1);
    store_close(store);
}

/* --- the schema ------------------------------------------------------------------------------- */

static int
try_init(struct bench *bench, const char *table, struct store_init_result *result)
{
    struct store_config config = config_of(bench, STORE_WRITE);

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
    int64_t base = ask_sql(bench, "SELECT base FROM rowcast_meta");
    assert_int_equal(try_init(bench, "NOTIFICATION", &result), 0);
    assert_false(result.created);
    assert_false(result.switched_to_wal);
    assert_int_equal(result.migrated_from, 0);
    assert_int_equal(ask_sql(bench, "SELECT base FROM rowcast_meta"), base);
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
    struct store_config config = config_of(bench, STORE_WRITE);
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
    run_sql(bench, "UPDATE rowcast_meta SET schema_version = 1;"
                   "INSERT INTO Feed(data) VALUES ('seven b')");
}

static void
test_migration_takes_each_step(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;

    make_version_1(bench);
    int64_t base =
        ask_sql(bench, "SELECT base FROM rowcast_meta WHERE table_name = 'Feed'");
    assert_int_equal(migrate_to(bench, 1, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 0);

    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 1);
    assert_false(outcome.created);
    assert_int_equal(ask_sql(bench, "SELECT priority FROM Feed"), 7);
    assert_int_equal(
        ask_sql(bench, "SELECT count(*) FROM sqlite_master WHERE name = 'feed_by_priority'"
                       " COLLATE NOCASE AND tbl_name = 'Feed'"),
        1);
    assert_int_equal(
        ask_sql(bench, "SELECT base FROM rowcast_meta WHERE table_name = 'Feed'"),
        base - 1);
    assert_int_equal(
        ask_sql(bench, "SELECT schema_version FROM rowcast_meta WHERE table_name = 'Feed'"),
        3);
    assert_int_equal(ask_sql(bench, "SELECT schema_version FROM rowcast_meta"
                                    " WHERE table_name = 'notification'"),
                     1);
    assert_int_equal(ask_sql(bench, "SELECT count(*) FROM pragma_table_info('notification')"
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
    assert_int_equal(ask_sql(bench, "SELECT priority FROM Feed"), 0);
    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_OK);
    assert_int_equal(outcome.migrated_from, 2);
    assert_int_equal(ask_sql(bench, "SELECT priority FROM Feed"), 7);
}

static void
test_migration_fails_as_a_whole(void **state)
{
    struct bench *bench = *state;
    struct store_init_result outcome;
    static const int too_far[] = {4, 5};

    make_version_1(bench);
    int64_t schema = ask_sql(bench, "PRAGMA schema_version");
    for (size_t i = 0; i < COUNT(too_far); i++) {
        assert_int_equal(migrate_to(bench, too_far[i], &outcome), STORE_FAILED);
        assert_non_null(strstr(bench->error.text, "no_such_function"));
        assert_int_equal(ask_sql(bench, "PRAGMA schema_version"), schema);
        assert_int_equal(ask_sql(bench, "SELECT max(schema_version) FROM rowcast_meta"), 1);
    }
    run_sql(bench, "INSERT INTO Feed(data) VALUES ('goes on')");

    /* Versions of which nobody knows. */
    run_sql(bench, "UPDATE rowcast_meta SET schema_version = -3");
    assert_int_equal(migrate_to(bench, 3, &outcome), STORE_FAILED);
    assert_non_null(strstr(bench->error.text, "unknown schema version -3"));
    run_sql(bench, "UPDATE rowcast_meta SET schema_version = 4");
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
    run_sql(bench, "BEGIN IMMEDIATE; INSERT INTO Feed(data) VALUES ('in the way')");
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_BUSY);
    run_sql(bench, "COMMIT");
    run_sql(bench, "BEGIN; SELECT count(*) FROM Feed");
    assert_int_equal(migrate_to(bench, 2, &outcome), STORE_OK);
    assert_int_equal(ask_sql(bench, "SELECT max(schema_version) FROM rowcast_meta"), 1);
    run_sql(bench, "COMMIT");
    assert_int_equal(ask_sql(bench, "SELECT max(schema_version) FROM rowcast_meta"), 2);
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
    struct store *store = open_table_as(bench, STORE_WRITE, "ORDER");
    int64_t id = insert_on(store, "a", NULL, NULL);
    run_sql(bench, "DELETE FROM \"order\"");
    assert_int_equal(marks_of(store).low_water, id);
    store_close(store);
    assert_int_equal(
        ask_sql(bench, "SELECT count(*) FROM rowcast_meta WHERE base = low_water"), 2);
    run_sql(bench, "INSERT INTO notification_2(data) VALUES (1)");
    assert_int_equal(ask_sql(bench, "SELECT count(*) FROM notification"), 0);
}

static void
test_init_refuses(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;

    run_sql(bench, "CREATE TABLE notification(id, data); CREATE VIEW v AS SELECT 1 AS id");
    assert_int_equal(try_init(bench, NULL, &result), -1);
    assert_non_null(strstr(bench->error.text, "choose another name with --table"));
    assert_int_equal(try_init(bench, "V", &result), -1);
    assert_int_equal(ask_sql(bench, "SELECT count(*) FROM sqlite_master"), 2);
    assert_int_equal(try_init(bench, "ours", &result), 0);
    run_sql(bench, "UPDATE rowcast_meta SET schema_version = 9");
    assert_int_equal(try_init(bench, "ours", &result), -1);
    assert_non_null(strstr(bench->error.text, "upgrade rowcast"));
}

static void
test_dropped_table_goes_on_above(void **state)
{
    struct bench *bench = *state;
    struct store_init_result result;

    init(bench);
    run_sql(bench, "INSERT INTO notification(id, data) VALUES (4000000000000, 'far ahead');"
                   "DELETE FROM notification; DROP TABLE notification");
    expect_refusal(bench, STORE_READ, NULL, "has no table notification");
    assert_int_equal(try_init(bench, NULL, &result), 0);
    assert_true(result.created);
    assert_int_equal(ask_sql(bench, "SELECT base FROM rowcast_meta"),
                     INT64_C(4000000000000));
    run_sql(bench, "INSERT INTO notification(data) VALUES ('x')");
    assert_int_equal(ask_sql(bench, "SELECT id FROM notification"), INT64_C(4000000000001));
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
    struct store_config config = config_of(bench, STORE_WRITE);
    int64_t base = 0;

    init(bench);
    run_sql(bench, "INSERT INTO notification(data) VALUES ('x')");
    int64_t id = ask_sql(bench, "SELECT id FROM notification");
    close_other(bench);
    assert_int_equal(store_rebase(&config, INT64_C(5000000000000), &base, &bench->error),
                     0);
    assert_int_equal(base, INT64_C(5000000000001));
    assert_int_equal(ask_sql(bench, "SELECT base FROM rowcast_meta"), base);
    close_other(bench);
    assert_int_equal(store_rebase(&config, 0, &base, &bench->error), 0);
    assert_int_equal(base, INT64_C(5000000000002));
    run_sql(bench, "INSERT INTO notification(data) VALUES ('y')");
    assert_int_equal(ask_sql(bench, "SELECT max(id) FROM notification"), base + 1);
    assert_int_equal(ask_sql(bench, "SELECT min(id) FROM notification"), id);
    close_other(bench);
    assert_int_equal(store_rebase(&config, INT64_MAX, &base, &bench->error), -1);
    close_other(bench);
    assert_int_equal(store_rebase(&config, ROW_ID_MAX, &base, &bench->error), -1);
}

#define TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)

/* --- a schema that changes ---------------------------------------------------------------------- */

/* Takes the lock before the next read transaction; a rollback journal's writer may do so anywhere. */
static struct bench *locks_before_read;

enum store_result __real_store_begin_read(struct store *store, struct error *error);
enum store_result __wrap_store_begin_read(struct store *store, struct error *error);

enum store_result
__wrap_store_begin_read(struct store *store, struct error *error)
{
    if (locks_before_read != NULL)
        run_sql(locks_before_read, "BEGIN EXCLUSIVE");
    locks_before_read = NULL;
    return __real_store_begin_read(store, error);
}

static void
test_a_lock_does_not_make_it_forget_the_table(void **state)
{
    struct bench *bench = *state;
    struct store_config config = config_of(bench, STORE_READ);
    bool changed;

    init(bench);
    run_sql(bench, "PRAGMA journal_mode = DELETE");
    struct store *store = store_open(&config, NULL, &bench->error);
    assert_non_null(store);
    run_sql(bench, "DROP INDEX notification_by_channel");
    assert_int_equal(store_changed(store, &changed, &bench->error), STORE_OK);
    assert_non_null(store_fault(store));

    run_sql(bench, "INSERT INTO notification(data) VALUES ('x')");
    locks_before_read = bench;
    assert_int_equal(store_changed(store, &changed, &bench->error), STORE_BUSY);
    run_sql(bench, "COMMIT");
    assert_int_equal(store_changed(store, &changed, &bench->error), STORE_OK);
    assert_true(changed);
    assert_non_null(store_fault(store));
    assert_true(store->has[COLUMN_CHANNEL]);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open_says_what_to_do),
        TEST(test_open_of_another_kind_of_file),
        TEST(test_schema_of_a_newer_sqlite),
        TEST(test_reader_cannot_write),
        TEST(test_missing_rights_are_named),
        TEST(test_sees_other_connections_commits),
        TEST(test_sees_a_replaced_file),
        TEST(test_survives_a_schema_change),
        TEST(test_range_is_bounded_on_both_sides),
        TEST(test_range_goes_on_where_it_stopped),
        TEST(test_bytes_come_as_they_are),
        TEST(test_large_data_is_not_handed_out),
        TEST(test_utf16_database),
        TEST(test_narrowing_changes_no_row),
        TEST(test_bounds_leave_nothing),
        TEST(test_data_of_others_is_not_read),
        TEST(test_large_data_takes_no_memory),
        TEST(test_a_step_ends_in_time),
        TEST(test_no_read_sorts_or_scans),
        TEST(test_collapse_keeps_the_newest),
        TEST(test_backwards),
        TEST(test_marks),
        TEST(test_snapshot_holds),
        TEST(test_no_read_transaction_stays),
        TEST(test_find_time),
        TEST(test_foreign_table),
        TEST(test_foreign_ids_are_integers),
        TEST(test_foreign_times),
        TEST(test_foreign_keys_want_an_index),
        TEST(test_foreign_view),
        TEST(test_transactions),
        TEST(test_refused_rows_are_explained),
        TEST(test_locks_are_busy),
        TEST(test_full_disk),
        TEST(test_prune),
        TEST(test_prune_passes_rows_of_the_future),
        TEST(test_prune_takes_no_lock_for_nothing),
        TEST(test_init_twice_is_harmless),
        TEST(test_migration_takes_each_step),
        TEST(test_migration_begins_anywhere),
        TEST(test_migration_fails_as_a_whole),
        TEST(test_migration_waits_for_the_writer),
        TEST(test_table_names),
        TEST(test_init_refuses),
        TEST(test_dropped_table_goes_on_above),
        TEST(test_rebase),
        TEST(test_a_lock_does_not_make_it_forget_the_table),
    };

    return RUN(tests);
}
