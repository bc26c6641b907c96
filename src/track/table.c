/* table.c - learns the application's table: which table it is, its columns, what they may hold.
 *
 * Called by track/bind.c's callers within their transaction. All of it comes from SQLite's
 * pragmas. Its indexes are read by track/indexes.c. Refuses what has no rows of its own, or none
 * that a trigger could see. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>
#include <string.h>

char *
track_copy_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL ? strdup(text) : NULL;
}

void
track_table_fini(struct track_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->columns[i].name);
        free(table->columns[i].fallback);
        free(table->columns[i].collation);
    }
    for (size_t i = 0; i < table->unique_count; i++)
        track_unique_fini(&table->uniques[i]);
    free(table->columns);
    free(table->uniques);
    free(table->name);
    *table = (struct track_table){0};
}

int
track_table_find(const struct track_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (sqlite3_stricmp(table->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* --- which tables -------------------------------------------------------------------------------
 */

static enum store_result
refuse(const struct track_table *table, const char *reason, struct error *error)
{
    error_set(error, "%s cannot be tracked: %s", table->name, reason);
    return STORE_REFUSED;
}

/* A table that belongs to a virtual one, as full-text search has them. SQLite reports this since
 * 3.37. */
static enum store_result
refuse_shadow(struct store *store, const struct track_table *table, bool *is_strict,
              struct error *error)
{
    enum store_result result;
    *is_strict = false;
    if (sqlite3_libversion_number() < 3037000)
        return STORE_OK;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT type, strict FROM pragma_table_list(?1) "
                           "WHERE schema = 'main'",
                           &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(statement, 0);
        *is_strict = sqlite3_column_int(statement, 1) != 0;
        if (type != NULL && strcmp(type, "shadow") == 0)
            result = refuse(table, "it belongs to a virtual table, which writes it", error);
    }
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
judge_kind(const struct track_table *table, const char *type, const char *sql,
           struct error *error)
{
    if (strcmp(type, "view") == 0)
        return refuse(table, "it is a view: track the tables that it is made of", error);
    if (sqlite3_strlike("create virtual%", sql, 0) == 0)
        return refuse(table, "it is a virtual table, which has no triggers", error);
    if (sqlite3_strnicmp(table->name, "rowcast_", 8) == 0 ||
        sqlite3_strnicmp(table->name, "sqlite_", 7) == 0)
        return refuse(table, "it is not a table of the application's", error);
    return STORE_OK;
}

static enum store_result
find_table(struct store *store, const char *name, struct track_table *table, bool *found,
           struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT name, type, coalesce(sql, '') FROM sqlite_master "
                           "WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')",
                           &result, error);

    *found = false;
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *found = true;
        table->name = track_copy_text(statement, 0);
        result = table->name == NULL
                     ? store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error)
                     : judge_kind(table, (const char *)sqlite3_column_text(statement, 1),
                                  (const char *)sqlite3_column_text(statement, 2), error);
    } else if (code != SQLITE_DONE) {
        result = store_fail(store, code, TRACK_LEARNING, error);
    }
    sqlite3_finalize(statement);
    if (result == STORE_OK && *found &&
        sqlite3_stricmp(table->name, store_table(store)) == 0)
        result = refuse(table, "it is the table of notifications itself", error);
    return result;
}

/* --- columns ------------------------------------------------------------------------------------
 */

/* The rules of sqlite.org/datatype3.html section 3.1, in their order. */
static enum track_kind
kind_by_type(struct track_column *column, const char *type)
{
    if (sqlite3_strlike("%int%", type, 0) == 0)
        return TRACK_ANY; /* a text that is no number stays one */
    if (sqlite3_strlike("%char%", type, 0) == 0 ||
        sqlite3_strlike("%clob%", type, 0) == 0 ||
        sqlite3_strlike("%text%", type, 0) == 0) {
        column->is_text = true;
        return TRACK_TEXT;
    }
    column->is_loose = type[0] == '\0' || sqlite3_strlike("%blob%", type, 0) == 0;
    return TRACK_ANY;
}

/* The types of a STRICT table (sqlite.org/stricttables.html). */
static enum track_kind
kind_by_strict_type(struct track_column *column, const char *type)
{
    if (sqlite3_strlike("int%", type, 0) == 0)
        return TRACK_INTEGER;
    if (sqlite3_stricmp(type, "REAL") == 0)
        return TRACK_REAL;
    column->is_text = sqlite3_stricmp(type, "TEXT") == 0;
    column->is_loose = sqlite3_stricmp(type, "ANY") == 0;
    return column->is_text ? TRACK_TEXT : TRACK_ANY;
}

static enum store_result
take_column(struct store *store, sqlite3_stmt *statement, struct track_table *table,
            struct track_column *column, struct error *error)
{
    const char *type = (const char *)sqlite3_column_text(statement, 1);
    const char *collation = NULL;

    column->name = track_copy_text(statement, 0);
    column->fallback = track_copy_text(statement, 3);
    column->not_null = sqlite3_column_int(statement, 2) != 0;
    column->in_primary = sqlite3_column_int(statement, 4);
    type = type != NULL ? type : "";
    column->is_blob = sqlite3_strlike("%blob%", type, 0) == 0;
    column->kind =
        column->is_strict ? kind_by_strict_type(column, type) : kind_by_type(column, type);
    if (column->name == NULL)
        return store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
    sqlite3_table_column_metadata(store_connection(store), "main", table->name,
                                  column->name, NULL, &collation, NULL, NULL, NULL);
    column->collation = strdup(collation != NULL ? collation : "BINARY");
    return column->collation != NULL
               ? STORE_OK
               : store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
}

/* A column more at the table's end; NULL: out of memory. */
static struct track_column *
grow_columns(struct track_table *table)
{
    struct track_column *columns =
        realloc(table->columns, (table->count + 1) * sizeof *columns);

    if (columns == NULL)
        return NULL;
    table->columns = columns;
    columns[table->count] = (struct track_column){0};
    return &columns[table->count++];
}

static enum store_result
read_columns(struct store *store, struct track_table *table, bool is_strict,
             struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT name, type, \"notnull\", dflt_value, pk FROM "
                           "pragma_table_xinfo(?1) ORDER BY cid",
                           &result, error);
    int code = SQLITE_DONE;

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    while (result == STORE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct track_column *column = grow_columns(table);
        if (column == NULL) {
            result = store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
            break;
        }
        column->is_strict = is_strict;
        result = take_column(store, statement, table, column, error);
    }
    if (result == STORE_OK && code != SQLITE_DONE)
        result = store_fail(store, code, TRACK_LEARNING, error);
    sqlite3_finalize(statement);
    return result;
}

/* --- the rowid ----------------------------------------------------------------------------------
 */

/* A statement may name the rowid, and so replace a row by it, though no column is it. */
static void
find_hidden_rowid(struct store *store, struct track_table *table)
{
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf("SELECT _rowid_ FROM \"%w\"", table->name);

    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].is_rowid ||
            sqlite3_stricmp(table->columns[i].name, "_rowid_") == 0) {
            sqlite3_free(sql);
            return;
        }
    /* Of a table WITHOUT ROWID there is no such column. */
    table->has_hidden_rowid =
        sql != NULL &&
        sqlite3_prepare_v2(store_connection(store), sql, -1, &statement, NULL) == SQLITE_OK;
    sqlite3_finalize(statement);
    sqlite3_free(sql);
}

/* A primary key without an index of its own is the rowid (sqlite.org/lang_createtable.html#rowid).
 */
static void
find_rowid(struct track_table *table)
{
    for (size_t i = 0; i < table->unique_count; i++)
        if (table->uniques[i].is_primary)
            return;
    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].in_primary == 1) {
            table->columns[i].is_rowid = true;
            table->columns[i].not_null = true;
            table->columns[i].kind = TRACK_INTEGER;
        }
}

enum store_result
track_table_read(struct store *store, const char *name, struct track_table *table,
                 bool *found, struct error *error)
{
    bool is_strict = false;

    *table = (struct track_table){0};
    enum store_result result = find_table(store, name, table, found, error);
    if (result == STORE_OK && *found)
        result = refuse_shadow(store, table, &is_strict, error);
    if (result == STORE_OK && *found)
        result = read_columns(store, table, is_strict, error);
    if (result == STORE_OK && *found)
        result = track_read_indexes(store, table, error);
    if (result == STORE_OK && *found)
        find_rowid(table);
    if (result == STORE_OK && *found)
        find_hidden_rowid(store, table);
    if (result != STORE_OK)
        track_table_fini(table);
    return result;
}
