/* indexes.c - the indexes of a table that let no two rows be equal.
 *
 * track/table.c calls it, once the columns are known. Names, columns and collations come from
 * SQLite's pragmas; only expressions and the WHERE of a partial index are cut from the text of the
 * index (track/scan.c). Whether such an index makes a key is decided in track/bind.c, what REPLACE
 * does by it in track/trigger_notes.c. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>
#include <string.h>

void
track_unique_fini(struct track_unique *unique)
{
    for (size_t i = 0; i < unique->count; i++) {
        free(unique->parts[i].text);
        free(unique->parts[i].collation);
    }
    free(unique->name);
    free(unique->where);
}

static enum store_result
read_parts(struct store *store, struct track_unique *unique, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT cid, coll, \"desc\" FROM pragma_index_xinfo(?1) WHERE "
                           "\"key\" ORDER BY seqno",
                           &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, unique->name, -1, SQLITE_STATIC);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        if (unique->count == TRACK_COLUMNS_MAX) {
            error_set(error, "its index %s has more than %d columns", unique->name,
                      TRACK_COLUMNS_MAX);
            result = STORE_REFUSED;
            break;
        }
        struct track_part *part = &unique->parts[unique->count++];
        *part = (struct track_part){.column = sqlite3_column_int(statement, 0),
                                    .collation = track_copy_text(statement, 1),
                                    .is_descending = sqlite3_column_int(statement, 2) != 0};
        if (part->collation == NULL)
            result = store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
    }
    sqlite3_finalize(statement);
    return result;
}

/* The expressions and the WHERE, which only the text of the index has. */
static enum store_result
take_index_text(struct store *store, const char *sql, struct track_unique *unique,
                struct error *error)
{
    struct track_index_text text;

    if (sql == NULL) /* of a constraint: columns alone */
        return STORE_OK;
    if (!track_scan_index(sql, &text) || text.count != unique->count) {
        error_set(error, "its index %s cannot be understood: %.200s", unique->name, sql);
        return STORE_REFUSED;
    }
    for (size_t i = 0; i < unique->count; i++)
        if (unique->parts[i].column < 0) {
            unique->parts[i].column = -1;
            unique->parts[i].text = strndup(text.parts[i].p, text.parts[i].len);
            if (unique->parts[i].text == NULL)
                return store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
        }
    if (text.where.p == NULL)
        return STORE_OK;
    unique->where = strndup(text.where.p, text.where.len);
    return unique->where != NULL ? STORE_OK
                                 : store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
}

static enum store_result
take_index(struct store *store, sqlite3_stmt *statement, struct track_table *table,
           struct error *error)
{
    struct track_unique *uniques =
        realloc(table->uniques, (table->unique_count + 1) * sizeof *uniques);

    if (uniques == NULL)
        return store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
    table->uniques = uniques;
    struct track_unique *unique = &uniques[table->unique_count++];
    *unique = (struct track_unique){.name = track_copy_text(statement, 0),
                                    .is_primary = sqlite3_column_int(statement, 1) != 0};
    if (unique->name == NULL)
        return store_fail(store, SQLITE_NOMEM, TRACK_LEARNING, error);
    enum store_result result = read_parts(store, unique, error);
    return result != STORE_OK
               ? result
               : take_index_text(store, (const char *)sqlite3_column_text(statement, 2),
                                 unique, error);
}

enum store_result
track_read_indexes(struct store *store, struct track_table *table, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT i.name, i.origin = 'pk', m.sql FROM pragma_index_list(?1) AS i "
        "LEFT JOIN sqlite_master AS m ON m.type = 'index' AND m.name = i.name "
        "WHERE i.\"unique\" ORDER BY i.name",
        &result, error);
    int code = SQLITE_DONE;

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    while (result == STORE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        result = take_index(store, statement, table, error);
    if (result == STORE_OK && code != SQLITE_DONE)
        result = store_fail(store, code, TRACK_LEARNING, error);
    sqlite3_finalize(statement);
    return result;
}
