/* table.c - whose the table of notifications is, which columns it has, and what it has lost of what
 * rowcast had made.
 *
 * Called by store/store.c at each open and whenever the schema has changed, within its read
 * transaction; store/schema.c asks for the first of these alone. What a foreign table has is judged
 * by its columns; store/model.c compares a table of ours. Nothing here changes the database. */
#include "config.h"

#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- whose table is it --------------------------------------------------------------- */

/* Sets store->table to the name as the schema spells it, or as given when there is none. */
static enum store_result
find_table(struct store *store, const char *table, bool *found, struct error *error)
{
    static const char sql[] =
        "SELECT name FROM sqlite_master WHERE name = ?1 COLLATE NOCASE "
        "AND type IN ('table', 'view')";
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    *found = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        result = store_fail(store, code, "read the schema", error);
    } else {
        const unsigned char *name = *found ? sqlite3_column_text(statement, 0) : NULL;
        free(store->table);
        store->table = strdup(name != NULL ? (const char *)name : table);
        if (store->table == NULL)
            result = store_fail(store, SQLITE_NOMEM, "read the schema", error);
    }
    sqlite3_finalize(statement);
    return result;
}

enum store_result
store_identify(struct store *store, const char *table, enum store_table *kind, int *version,
               struct error *error)
{
    bool found = false;
    int64_t has_meta = 0;
    int64_t meta_version = 0;
    int64_t has_sequence = 0;

    enum store_result result = find_table(store, table, &found, error);
    if (result == STORE_OK)
        result = store_ask_number(store,
                                  "SELECT 1 FROM sqlite_master WHERE name = 'rowcast_meta' "
                                  "AND type = 'table'",
                                  NULL, &has_meta, error);
    if (result == STORE_OK && has_meta != 0)
        result = store_ask_number(
            store, "SELECT schema_version FROM rowcast_meta WHERE table_name = ?1", table,
            &meta_version, error);
    if (result == STORE_OK)
        result = store_ask_number(
            store, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'", NULL,
            &has_sequence, error);
    if (result != STORE_OK)
        return result;

    store->has_sequence = has_sequence != 0;
    *version = (int)meta_version;
    if (found)
        *kind = meta_version != 0 ? STORE_TABLE_OURS : STORE_TABLE_FOREIGN;
    else
        *kind = meta_version != 0 ? STORE_TABLE_STALE : STORE_TABLE_MISSING;
    return STORE_OK;
}

/* --- what it has --------------------------------------------------------------------- */

/* A column for texts makes texts even of integers (sqlite.org/datatype3.html section 3.1).
 * Where the type says less the rows do: see store_read_marks. */
static enum store_result
check_id_type(struct store *store, const char *type, struct error *error)
{
    static const char *const texts[] = {"%char%", "%clob%", "%text%", "%uuid%", "%guid%"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (type == NULL || sqlite3_strlike("%int%", type, 0) == 0 ||
            sqlite3_strlike(texts[i], type, 0) != 0)
            continue;
        error_set(
            error,
            "%s: id of table %s is declared %.40s, and rows reach readers by integers "
            "that grow: give a table or view with such ids by --table",
            store->path, store->table, type);
        return STORE_FAILED;
    }
    return STORE_OK;
}

/* Which of the columns that we know the table has. */
static enum store_result
find_columns(struct store *store, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store, "SELECT name, type FROM pragma_table_xinfo(?1)", &result, error);
    int code;

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, store->table, -1, SQLITE_STATIC);
    while (result == STORE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        if (store->foreign && name != NULL &&
            sqlite3_stricmp(name, store_column_names[COLUMN_ID]) == 0)
            result = check_id_type(store, (const char *)sqlite3_column_text(statement, 1),
                                   error);
        for (int i = 0; i < STORE_COLUMNS; i++) {
            if (name != NULL && sqlite3_stricmp(name, store_column_names[i]) == 0)
                store->has[i] = true;
        }
    }
    if (result == STORE_OK && code != SQLITE_DONE)
        result = store_fail(store, code, "read its columns", error);
    sqlite3_finalize(statement);
    if (result == STORE_OK && (!store->has[COLUMN_ID] || !store->has[COLUMN_DATA])) {
        error_set(error,
                  "%s: table %s has no column %s: give a table or view with at least id "
                  "and data by --table",
                  store->path, store->table, store->has[COLUMN_ID] ? "data" : "id");
        return STORE_FAILED;
    }
    return result;
}

static enum store_result
check_table(struct store *store, enum store_table kind, int version, struct error *error)
{
    const char *option = strcmp(store->table, STORE_DEFAULT_TABLE) == 0 ? "" : " --table ";
    const char *name = option[0] == '\0' ? "" : store->table;

    if (kind == STORE_TABLE_MISSING || kind == STORE_TABLE_STALE) {
        error_set(error, "%s has no table %s: create it with `rowcast init --db %s%s%s`",
                  store->path, store->table, store->path, option, name);
        return STORE_FAILED;
    }
    if (kind == STORE_TABLE_OURS && version > STORE_SCHEMA_VERSION) {
        error_set(error,
                  "%s: table %s has schema version %d, made by a newer rowcast, and this "
                  "one knows up to %d: upgrade rowcast",
                  store->path, store->table, version, STORE_SCHEMA_VERSION);
        return STORE_FAILED;
    }
    if (kind == STORE_TABLE_OURS && version < STORE_SCHEMA_VERSION) {
        error_set(error,
                  "%s: table %s has the old schema version %d: migrate it with `rowcast "
                  "init --db %s%s%s`",
                  store->path, store->table, version, store->path, option, name);
        return STORE_FAILED;
    }
    if (kind == STORE_TABLE_FOREIGN && store->mode == STORE_WRITE) {
        error_set(error,
                  "%s: table %s was not made by rowcast, which only reads such a table: "
                  "write to it as its application does",
                  store->path, store->table);
        return STORE_FAILED;
    }
    return STORE_OK;
}

/* The names of the objects that store_compare_objects has found. */
static enum store_result
list_object(void *arg, const struct store_object *object, struct error *error)
{
    struct error *list = arg;
    char before[ERROR_TEXT_MAX];

    (void)error;
    snprintf(before, sizeof before, "%s", list->text);
    error_set(list, "%s%s%s %s", before, before[0] == '\0' ? "" : ", ", object->type,
              object->name);
    return STORE_OK;
}

/* Sets store->fault from what the table has lost. */
static enum store_result
find_fault(struct store *store, struct error *error)
{
    struct error lost = {""};
    struct store_marks marks;
    bool whole = true;

    enum store_result result = store_compare_objects(store, list_object, &lost, error);
    if (result == STORE_OK)
        result = store_table_is_whole(store, &whole, error);
    if (result == STORE_OK)
        result = store_read_marks(store, &marks, error);
    if (result != STORE_OK)
        return result;
    if (!whole)
        error_set(&store->fault,
                  "%s: table %s has lost a column, a default or AUTOINCREMENT, as after a "
                  "migration that copies a table: ids could be given twice; `rowcast init` "
                  "on it makes it whole",
                  store->path, store->table);
    else if (lost.text[0] != '\0')
        error_set(
            &store->fault,
            "%s: table %s lacks what rowcast had made (%s), as after a migration that "
            "copies a table: readers may miss rows; `rowcast init` on it makes it whole",
            store->path, store->table, lost.text);
    else if (!store_ids_are_new(&marks))
        error_set(&store->fault,
                  "%s: table %s would give ids from %lld on, which readers have passed: "
                  "no reader gets such rows; `rowcast init` on it repairs it",
                  store->path, store->table, (long long)marks.sequence + 1);
    return STORE_OK;
}

enum store_result
store_learn_table(struct store *store, const char *table, struct error *error)
{
    enum store_table kind;
    int version = 0;

    enum store_result result = store_identify(store, table, &kind, &version, error);
    if (result == STORE_OK)
        result = check_table(store, kind, version, error);
    if (result != STORE_OK)
        return result;

    store->foreign = kind == STORE_TABLE_FOREIGN;
    result = find_columns(store, error);
    if (result == STORE_OK)
        result = store_find_key_index(store, error);
    if (result == STORE_OK) /* a view may name columns that are not there */
        store_read_statement(store, STORE_FORWARD, STORE_BY_ID, &result, error);
    if (result == STORE_OK && !store->foreign)
        result = find_fault(store, error);
    return result;
}
