/* bind.c - joins a definition and the table as it is now, and refuses what cannot be tracked or
 * does not fit any more.
 *
 * Called by track/apply.c for a new definition and by track_load for one that was made. What is
 * asked of both is the same, so that a definition which has become wrong is found wherever it
 * is used. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>

enum store_result
track_refuse(const struct track_definition *definition, struct error *error,
             const char *what, const char *name)
{
    error_set(error, "%s: %s%s%s", definition->name, what, name != NULL ? " " : "",
              name != NULL ? name : "");
    return STORE_REFUSED;
}

/* --- names to columns ---------------------------------------------------------------------------
 */

static enum store_result
find_column(const struct track *track, const char *name, size_t *at, struct error *error)
{
    int found = track_table_find(&track->table, name);

    if (found < 0)
        return track_refuse(&track->definition, error, "the table has no column", name);
    *at = (size_t)found;
    return STORE_OK;
}

static enum store_result
find_optional(const struct track *track, const char *name, int *at, struct error *error)
{
    size_t found = 0;
    *at = -1;
    if (name == NULL)
        return STORE_OK;
    enum store_result result = find_column(track, name, &found, error);
    *at = (int)found;
    return result;
}

static enum store_result
find_columns(struct track *track, struct error *error)
{
    const struct track_definition *definition = &track->definition;
    enum store_result result = STORE_OK;

    if (definition->key.count > TRACK_KEY_MAX)
        return track_refuse(definition, error, "a key has eight columns at the most", NULL);
    if (definition->columns.count > TRACK_COLUMNS_MAX)
        return track_refuse(definition, error,
                            "more than 60 columns: name those to carry with --columns",
                            NULL);
    if (definition->key.count == 0 || definition->columns.count == 0 ||
        (definition->channel == NULL) == (definition->channel_column == NULL))
        return track_refuse(definition, error, "its row of rowcast_track is not as made",
                            NULL);
    for (size_t i = 0; result == STORE_OK && i < definition->key.count; i++)
        result = find_column(track, definition->key.items[i], &track->key[i], error);
    for (size_t i = 0; result == STORE_OK && i < definition->columns.count; i++)
        result =
            find_column(track, definition->columns.items[i], &track->columns[i], error);
    track->key_count = definition->key.count;
    track->column_count = definition->columns.count;
    if (result == STORE_OK)
        result =
            find_optional(track, definition->channel_column, &track->channel_column, error);
    if (result == STORE_OK)
        result = find_optional(track, definition->recipient_column,
                               &track->recipient_column, error);
    return result;
}

/* --- the key ------------------------------------------------------------------------------------
 */

/* The place of a column of the table in the key; key_count: it is not of it. */
static size_t
place_in_key(const struct track *track, int column)
{
    size_t at = 0;

    while (at < track->key_count && (int)track->key[at] != column)
        at++;
    return at;
}

static bool
is_index_of_key(const struct track *track, const struct track_unique *unique)
{
    bool seen[TRACK_KEY_MAX] = {false};

    if (unique->where != NULL || unique->count != track->key_count)
        return false;
    for (size_t i = 0; i < unique->count; i++) {
        size_t at = place_in_key(track, unique->parts[i].column);
        if (at == track->key_count || seen[at])
            return false;
        seen[at] = true;
    }
    return true;
}

static void
take_key_index(struct track *track, const struct track_unique *unique)
{
    track->key_index = unique;
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_part *part = &unique->parts[i];
        size_t at = place_in_key(track, part->column);
        track->order[i] = (struct track_order){at, part->is_descending};
        track->key_collation[at] = part->collation;
        if (sqlite3_stricmp(part->collation, "BINARY") != 0 ||
            track->table.columns[track->key[at]].is_loose)
            track->key_is_exact = false;
    }
}

static enum store_result
find_key_index(struct track *track, struct error *error)
{
    track->key_is_exact = true;
    if (track->key_count == 1 && track->table.columns[track->key[0]].is_rowid) {
        track->key_collation[0] = "BINARY";
        return STORE_OK;
    }
    for (size_t i = 0; i < track->table.unique_count; i++)
        if (is_index_of_key(track, &track->table.uniques[i])) {
            take_key_index(track, &track->table.uniques[i]);
            return STORE_OK;
        }
    return track_refuse(
        &track->definition, error,
        "no UNIQUE index is on just the columns of --key, so several rows could "
        "have one key",
        NULL);
}

/* --- --where, --channel -------------------------------------------------------------------------
 */

/* The expression where the triggers and the query of the state have it: of a row of the table,
 * and of NEW as a table of one row, which has no rowid of its own: with two tables of the name
 * SQLite finds none. Aggregates are refused by both. */
static char *
where_text(const struct track *track)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendf(sql, "SELECT 1 FROM %s WHERE ", track->quoted);
    track_put_where(sql, track, track->quoted);
    sqlite3_str_appendall(sql, " UNION ALL SELECT 1 FROM (SELECT ");
    for (size_t i = 0; i < track->table.count; i++)
        sqlite3_str_appendf(sql, "%sNULL AS \"%w\"", i == 0 ? "" : ", ",
                            track->table.columns[i].name);
    sqlite3_str_appendf(sql, ") AS %s, (SELECT NULL) AS %s WHERE ", track->quoted,
                        track->quoted);
    track_put_where(sql, track, track->quoted);
    return sqlite3_str_finish(sql);
}

/* Whether SQLite understands the expression of this table alone; a name in double quotes that is no
 * column is not to become a text (sqlite.org/quirks.html). */
static enum store_result
compile_where(struct store *store, const struct track *track, struct error *error)
{
    sqlite3 *db = store_connection(store);
    sqlite3_stmt *statement = NULL;
    int texts = 1;
    char *sql = where_text(track);

    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, -1, &texts);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    int code =
        sql != NULL ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, texts, NULL);
    sqlite3_free(sql);
    if (code == SQLITE_ERROR) {
        error_set(error, "%s: --where: %s", track->definition.name, sqlite3_errmsg(db));
        return STORE_REFUSED;
    }
    if (code != SQLITE_OK)
        return store_fail(store, code, "understand --where", error);
    sqlite3_finalize(statement);
    return STORE_OK;
}

static enum store_result
check_where(struct store *store, const struct track *track, struct error *error)
{
    if (track->definition.where == NULL)
        return STORE_OK;
    if (track_scan_where(track->definition.where, error) != 0)
        return STORE_REFUSED;
    return compile_where(store, track, error);
}

/* As sql/schema.sql has it: no event is to be refused there. */
static enum store_result
check_channel(struct store *store, const struct track *track, struct error *error)
{
    static const char sql[] =
        "SELECT ?1 <> '' AND instr(?1, char(10)) = 0 AND instr(?1, char(13)) = 0 AND "
        "NOT ((?1 GLOB '*.0' OR ?1 GLOB '*e+*') AND ?1 = CAST(CAST(?1 AS REAL) AS TEXT))";
    enum store_result result;

    if (track->definition.channel == NULL)
        return STORE_OK;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, track->definition.channel, -1, SQLITE_STATIC);
    bool is_good =
        sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) != 0;
    sqlite3_finalize(statement);
    return is_good ? STORE_OK
                   : track_refuse(&track->definition, error,
                                  "its name cannot be a channel: give one with --channel",
                                  NULL);
}

static enum store_result
bind_all(struct store *store, struct track *track, struct error *error)
{
    track->quoted = sqlite3_mprintf("\"%w\"", track->table.name);
    if (track->quoted == NULL)
        return store_fail(store, SQLITE_NOMEM, "read the schema", error);
    enum store_result result = find_columns(track, error);
    if (result == STORE_OK)
        result = find_key_index(track, error);
    if (result == STORE_OK)
        result = check_channel(store, track, error);
    return result == STORE_OK ? check_where(store, track, error) : result;
}

enum store_result
track_bind(struct store *store, struct track_definition *definition,
           struct track_table *table, struct track **track, struct error *error)
{
    enum store_result result = STORE_OK;

    *track = calloc(1, sizeof **track);
    if (*track == NULL) {
        track_definition_fini(definition);
        track_table_fini(table);
        return store_fail(store, SQLITE_NOMEM, "read the schema", error);
    }
    (*track)->definition = *definition;
    (*track)->table = *table;
    *definition = (struct track_definition){0};
    *table = (struct track_table){0};
    result = bind_all(store, *track, error);
    if (result != STORE_OK) {
        track_free(*track);
        *track = NULL;
    }
    return result;
}

/* --- what others ask ----------------------------------------------------------------------------
 */

enum store_result
track_load(struct store *store, struct slice name, struct track **track,
           struct error *error)
{
    struct track_definition definition;
    struct track_table table = {0};
    bool found;

    *track = NULL;
    enum store_result result =
        track_definition_read(store, name, &definition, &found, error);
    if (result != STORE_OK || !found)
        return result;
    result = track_table_read(store, definition.name, &table, &found, error);
    if (result == STORE_OK && found)
        return track_bind(store, &definition, &table, track, error);
    if (result == STORE_OK)
        result = track_refuse(&definition, error, "there is no such table any more", NULL);
    track_definition_fini(&definition);
    return result;
}

void
track_free(struct track *track)
{
    if (track == NULL)
        return;
    track_definition_fini(&track->definition);
    track_table_fini(&track->table);
    sqlite3_free(track->quoted);
    free(track);
}

const char *
track_name(const struct track *track)
{
    return track->definition.name;
}

size_t
track_key_count(const struct track *track)
{
    return track->key_count;
}

const char *
track_key_column(const struct track *track, size_t at)
{
    return track->table.columns[track->key[at]].name;
}

const char *
track_channel(const struct track *track)
{
    return track->definition.channel;
}

bool
track_has_recipients(const struct track *track)
{
    return track->recipient_column >= 0;
}
