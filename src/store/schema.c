/* schema.c - makes the table, migrates it, moves its ids on after a backup was restored.
 *
 * The database is usually an application's own, so everything happens in one transaction and
 * touches our objects only: no user_version, no application_id. The schema's text is
 * sql/schema.sql, compiled in; its head says how another table name gets into it.
 *
 * To change the schema: write the new state into sql/schema.sql, raise STORE_SCHEMA_VERSION
 * there and in store/store.h, and add to `migrations` the step from the version before. The step need
 * not write the version. tests/fixtures/ keeps a database of each version: tests/schema.bats
 * migrates them all and compares the outcome with a new database. */
#include "config.h"

#include "store/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "schema_sql.h"

#define TABLE_NAME_MAX 63

/* See store/internal.h. From 0, no table, the whole schema is made in its present state. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {NULL};

/* --- the text --------------------------------------------------------------------------------- */

static bool
is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Appends the SQL with the word for the table replaced, as sql/schema.sql describes. */
static void
append_renamed(struct buf *buf, struct slice sql, const char *table)
{
    static const char word[] = STORE_DEFAULT_TABLE;
    const size_t word_len = sizeof word - 1;
    const char *end = sql.p + sql.len;

    for (const char *p = sql.p; p < end;) {
        const char *start = p;
        while (p < end && is_word_byte(*p))
            p++;
        size_t len = (size_t)(p - start);
        if (len >= word_len && memcmp(start, word, word_len) == 0 &&
            (len == word_len || start[word_len] == '_')) {
            buf_append_text(buf, table);
            start += word_len;
        }
        if (p < end && p == start)
            p++; /* no word byte: as it is */
        buf_append(buf, start, (size_t)(p - start));
    }
}

/* The part of the schema between its marks; the transaction around it is the caller's. */
static struct slice
schema_body(void)
{
    const char *begin = strstr(schema_sql, "-- rowcast:begin\n");
    const char *end = strstr(schema_sql, "-- rowcast:end\n");

    if (begin == NULL || end == NULL || end < begin)
        return slice_of("");
    return (struct slice){begin, (size_t)(end - begin)};
}

static enum store_result
run_schema(struct store *store, struct slice sql, const char *table, struct error *error)
{
    struct buf buf = {0};

    append_renamed(&buf, sql, table);
    buf_append(&buf, "", 1);
    enum store_result result = STORE_FAILED;
    if (buf.failed)
        error_set(error, "%s: out of memory", store->path);
    else
        result = store_execute(store, buf.p, "create or migrate the table", error);
    buf_fini(&buf);
    return result;
}

/* --- init ------------------------------------------------------------------------------------- */

/* Names that need no quoting in anybody's SQL and fit the schema's scheme of replacing. */
static int
check_name(const char *table, struct error *error)
{
    size_t len = strspn(table, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789_");

    if (len == 0 || table[len] != '\0' || len > TABLE_NAME_MAX ||
        isdigit((unsigned char)table[0]))
        return error_set(error,
                         "\"%.80s\" cannot be the table's name: use up to %d letters, "
                         "digits and _, and no digit first",
                         table, TABLE_NAME_MAX);
    if (sqlite3_strnicmp(table, "sqlite_", 7) == 0 ||
        sqlite3_stricmp(table, "rowcast_meta") == 0)
        return error_set(error, "the name %s is reserved: choose another one with --table",
                         table);
    return 0;
}

static enum store_result
write_version(struct store *store, int version, struct error *error)
{
    char *sql =
        sqlite3_mprintf("UPDATE rowcast_meta SET schema_version = %d WHERE table_name = %Q",
                        version, store->table);

    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "migrate the table", error);
    enum store_result result = store_execute(store, sql, "migrate the table", error);
    sqlite3_free(sql);
    return result;
}

static enum store_result
migrate(struct store *store, const struct store_schema *schema, int version,
        struct error *error)
{
    enum store_result result = STORE_OK;

    for (int from = version; from < schema->version && result == STORE_OK; from++) {
        const char *sql = from < 1 ? NULL : schema->steps[from];
        if (sql == NULL) {
            error_set(error, "%s: table %s has the unknown schema version %d", store->path,
                      store->table, version);
            return STORE_FAILED;
        }
        result = run_schema(store, slice_of(sql), store->table, error);
    }
    if (result == STORE_OK && version < schema->version)
        result = write_version(store, schema->version, error);
    return result;
}

/* Within the transaction: looks whose the table is, and makes or migrates it. */
static enum store_result
make_table(struct store *store, const struct store_schema *schema,
           struct store_init_result *outcome, struct error *error)
{
    enum store_table kind;
    int version = 0;

    enum store_result result = store_identify(store, schema->table, &kind, &version, error);
    if (result != STORE_OK)
        return result;
    switch (kind) {
    case STORE_TABLE_MISSING:
    case STORE_TABLE_STALE:
        outcome->created = true;
        return run_schema(store, schema_body(), schema->table, error);
    case STORE_TABLE_FOREIGN:
        error_set(error,
                  "%s already has a table or view %s that rowcast did not make: choose "
                  "another name with --table",
                  store->path, store->table);
        return STORE_FAILED;
    case STORE_TABLE_OURS:
        break;
    }
    if (version > schema->version) {
        error_set(error,
                  "%s: table %s has schema version %d, made by a newer rowcast, and this "
                  "one knows up to %d: upgrade rowcast",
                  store->path, store->table, version, schema->version);
        return STORE_FAILED;
    }
    if (version < schema->version)
        outcome->migrated_from = version;
    return migrate(store, schema, version, error);
}

enum store_result
store_make_table(struct store *store, const struct store_schema *schema,
                 struct store_init_result *outcome, struct error *error)
{
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = make_table(store, schema, outcome, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

/* The journal mode after the pragma `sql`, which only asks or also sets it. */
static enum store_result
journal_is_wal(struct store *store, const char *sql, bool *is_wal, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);

    *is_wal = false;
    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(statement, 0);
        *is_wal = mode != NULL && sqlite3_stricmp(mode, "wal") == 0;
    } else {
        result = store_fail(store, code, "switch the journal to WAL", error);
    }
    sqlite3_finalize(statement);
    return result;
}

/* Cannot be part of a transaction; needs the database to itself for a moment. */
static enum store_result
switch_to_wal(struct store *store, struct store_init_result *outcome, struct error *error)
{
    bool is_wal;

    enum store_result result = journal_is_wal(store, "PRAGMA journal_mode", &is_wal, error);
    if (result != STORE_OK || is_wal)
        return result;
    result = journal_is_wal(store, "PRAGMA journal_mode = WAL", &is_wal, error);
    if (result == STORE_OK && !is_wal) {
        error_set(error,
                  "%s: the table is there, but SQLite cannot switch the journal to WAL "
                  "on this file system: repeat with --keep-journal",
                  store->path);
        return STORE_FAILED;
    }
    outcome->switched_to_wal = result == STORE_OK;
    return result;
}

static enum store_result
init_database(struct store *store, const struct store_config *config,
              enum store_journal journal, struct store_init_result *outcome,
              struct error *error)
{
    const struct store_schema schema = {
        .table = config->table, .version = STORE_SCHEMA_VERSION, .steps = migrations};
    enum store_result result = store_open_file(store, config, STORE_CREATE_FILE, error);

    if (result == STORE_OK)
        result = store_make_table(store, &schema, outcome, error);
    if (result == STORE_OK && journal == STORE_JOURNAL_WAL)
        result = switch_to_wal(store, outcome, error);
    return result;
}

int
store_init(const struct store_config *config, enum store_journal journal,
           struct store_init_result *result, struct error *error)
{
    struct store_config own = *config;

    *result = (struct store_init_result){0};
    own.mode = STORE_WRITE;
    if (own.table == NULL)
        own.table = STORE_DEFAULT_TABLE;
    if (check_name(own.table, error) != 0)
        return -1;
    struct store *store = malloc(sizeof *store);
    if (store == NULL)
        return error_set(error, "%s: out of memory", config->path);
    enum store_result outcome = init_database(store, &own, journal, result, error);
    store_close(store);
    return outcome == STORE_OK ? 0 : -1;
}

/* --- rebase ----------------------------------------------------------------------------------- */

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A base above all that may have been an id: a reader's cursor from before is then below it. */
static int64_t
new_base(const struct store_marks *marks, int64_t above)
{
    int64_t highest = now_ms();

    if (marks->tail > highest)
        highest = marks->tail;
    return (above > highest ? above : highest) + 1;
}

static enum store_result
write_base(struct store *store, int64_t base, struct error *error)
{
    char *sql = sqlite3_mprintf("UPDATE rowcast_meta SET base = %lld WHERE table_name = %Q;"
                                "DELETE FROM sqlite_sequence WHERE name = %Q;"
                                "INSERT INTO sqlite_sequence(name, seq) VALUES (%Q, %lld)",
                                (long long)base, store->table, store->table, store->table,
                                (long long)base);

    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "move the ids", error);
    enum store_result result = store_execute(store, sql, "move the ids", error);
    sqlite3_free(sql);
    return result;
}

static enum store_result
rebase(struct store *store, int64_t above, int64_t *base, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = store_read_marks(store, &marks, error);
    if (result == STORE_OK) {
        *base = new_base(&marks, above);
        if (*base > ROW_ID_MAX) {
            error_set(error, "no id is left above %lld: give a lower --above",
                      (long long)(*base - 1));
            result = STORE_FAILED;
        }
    }
    if (result == STORE_OK)
        result = write_base(store, *base, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

int
store_rebase(const struct store_config *config, int64_t above, int64_t *base,
             struct error *error)
{
    struct store_config own = *config;

    own.mode = STORE_WRITE;
    if (above > ROW_ID_MAX)
        return error_set(error, "%lld is above every possible id: give a lower --above",
                         (long long)above);
    struct store *store = store_open(&own, NULL, error);
    if (store == NULL)
        return -1;
    enum store_result result = rebase(store, above, base, error);
    store_close(store);
    return result == STORE_OK ? 0 : -1;
}
