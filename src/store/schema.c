/* schema.c - makes the table, migrates it, repairs it.
 *
 * The database is usually an application's own, so everything happens in one transaction and
 * touches our objects only: no user_version, no application_id. The schema's text is
 * sql/schema.sql, compiled in; its head says how another table name gets into it.
 *
 * To change the schema: write the new state into sql/schema.sql, raise the version there and
 * STORE_SCHEMA_VERSION in store/store.h, and add to `migrations` the step from the version
 * before. The step need not write the version, nor make indexes, triggers, views and new tables:
 * after it those that are missing, and indexes and triggers that are different, are made from the
 * schema, as in a repair. It drops those that are no more. tests/fixtures/ keeps a database of
 * each version: tests/migrate.bats migrates them all and compares the outcome with a new
 * database. */
#include "config.h"

#include "store/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_NAME_MAX 63

/* See store/internal.h. From 0, no table, the whole schema is made in its present state.
 *
 * From 1: the rules of the CHECK constraints are triggers now. The constraints stay where they are,
 * and data stays in the middle of the row: to copy the table would lock out its writers for as long
 * as that takes, and drop what the application has added to it.
 *
 * From 2: new tables and a view, which the repair makes, and triggers with a WHEN clause. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    NULL,
    "DROP TRIGGER IF EXISTS \"notification_id_limit\";"
    "DROP TRIGGER IF EXISTS \"notification_id_fixed\";",
    "",
};

/* --- migration ----------------------------------------------------------------------- */

/* The names of the schema's other tables and views, and of those that track and follow make. */
static bool
is_reserved(const char *table)
{
    static const char *const names[] = {
        "rowcast_follow",         "rowcast_meta",
        "rowcast_presence",       "rowcast_presence_worker",
        "rowcast_presence_entry", "rowcast_presence_user",
        "rowcast_push",           "rowcast_read",
        "rowcast_revocation",     "rowcast_track",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (sqlite3_stricmp(table, names[i]) == 0)
            return true;
    }
    return sqlite3_strnicmp(table, "sqlite_", 7) == 0;
}

/* Names that need no quotes in SQL and that the schema's scheme of replacing can handle. */
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
    if (is_reserved(table))
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
        result = store_execute_renamed(store, slice_of(sql), store->table, error);
    }
    if (result == STORE_OK && version < schema->version)
        result = write_version(store, schema->version, error);
    return result;
}

/* --- repair -------------------------------------------------------------------------- */

struct repair {
    struct store *store;
    bool any;
    bool deletions_unseen; /* no trigger has noted the highest id that was deleted */
};

static enum store_result
restore_object(void *arg, const struct store_object *object, struct error *error)
{
    static const char low_water[] = "_low_water";
    struct repair *repair = arg;
    enum store_result result = STORE_OK;
    size_t len = strlen(object->name);

    repair->any = true;
    if (len > sizeof low_water - 1 &&
        strcmp(object->name + len - (sizeof low_water - 1), low_water) == 0)
        repair->deletions_unseen = true;
    if (object->state == STORE_OBJECT_OTHER) {
        char *drop = sqlite3_mprintf("DROP %s \"%w\"", object->type, object->name);
        result = drop != NULL
                     ? store_execute(repair->store, drop, "repair the table", error)
                     : store_fail(repair->store, SQLITE_NOMEM, "repair the table", error);
        sqlite3_free(drop);
    }
    return result != STORE_OK
               ? result
               : store_execute(repair->store, object->sql, "repair the table", error);
}

/* The sequence gives each id once, so an id that is not there was deleted (or never used, where a
 * writer gives ids itself; then a reader gets a gap event for nothing). */
static enum store_result
raise_low_water(struct store *store, struct error *error)
{
    static const char sql[] =
        "UPDATE \"rowcast_meta\" SET low_water = max(low_water, coalesce("
        "CASE WHEN (SELECT max(id) FROM \"notification\") IS "
        "          (SELECT seq FROM sqlite_sequence WHERE name = 'notification') "
        "THEN (SELECT id - 1 FROM \"notification\" AS n WHERE NOT EXISTS "
        "      (SELECT 1 FROM \"notification\" WHERE id = n.id - 1) "
        "      ORDER BY id DESC LIMIT 1) "
        "ELSE (SELECT seq FROM sqlite_sequence WHERE name = 'notification') END, 0)) "
        "WHERE table_name = 'notification'";

    return store_execute_renamed(store, slice_of(sql), store->table, error);
}

static enum store_result
repair_table(struct store *store, struct store_init_result *outcome, struct error *error)
{
    struct repair repair = {.store = store};
    bool whole = true;
    enum store_result result = store_table_is_whole(store, &whole, error);

    repair.any = !whole;
    if (result == STORE_OK && !whole)
        result = store_rebuild_table(store, error);
    if (result == STORE_OK)
        result = store_compare_objects(store, restore_object, &repair, error);
    outcome->restored = repair.any && outcome->migrated_from == 0;
    if (result == STORE_OK)
        result = store_move_ids_on(store, &outcome->moved_to, error);
    if (result == STORE_OK && repair.deletions_unseen && outcome->moved_to == 0)
        result = raise_low_water(store, error);
    return result;
}

/* --- init ---------------------------------------------------------------------------- */

/* Within the transaction: looks whose the table is, and makes, migrates or repairs it. */
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
        return store_execute_renamed(store, store_schema_text(), schema->table, error);
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
    result = migrate(store, schema, version, error);
    return result != STORE_OK ? result : repair_table(store, outcome, error);
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
