/* definition.c - the table rowcast_track: what is tracked, and how it was asked for.
 *
 * Called by track/apply.c, which writes a definition, and by all that need one. The table is
 * made by the first `rowcast track` and belongs to rowcast alone; so it is no part of
 * sql/schema.sql, and a database without tracked tables has none of it. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Neither has a constraint that a trigger's statement could break: a conflict clause of the
 * application's statement would reach into it (sqlite.org/lang_createtrigger.html). The columns
 * k1 to k8 have no type, so that they hold what the table has. */
const char track_schema[] =
    "CREATE TABLE IF NOT EXISTS rowcast_track(\n"
    "    name             TEXT NOT NULL COLLATE NOCASE, -- the table that is tracked\n"
    "    notification     TEXT NOT NULL COLLATE NOCASE, -- the table that its changes go "
    "to\n"
    "    \"key\"            TEXT NOT NULL,    -- a JSON array of columns\n"
    "    columns          TEXT NOT NULL,    -- a JSON array of columns\n"
    "    default_key      INTEGER NOT NULL, -- 1: not given, it is the primary key\n"
    "    default_columns  INTEGER NOT NULL, -- 1: not given, they are all but "
    "BLOBs\n"
    "    channel          TEXT,             -- NULL: channel_column\n"
    "    channel_column   TEXT,\n"
    "    recipient_column TEXT,\n"
    "    \"where\"          TEXT,\n"
    "    version          INTEGER NOT NULL, -- of this table's meaning\n"
    "    PRIMARY KEY(name)\n"
    ");\n"
    "-- Rows that a statement may be about to replace, or to move out of a reader's "
    "sight.\n"
    "CREATE TABLE IF NOT EXISTS rowcast_track_replaced(\n"
    "    source, k1, k2, k3, k4, k5, k6, k7, k8, -- the table, and the row's key\n"
    "    channel, recipient, \"key\", \"row\",\n"
    "    quiet -- 1: it is removed without a word\n"
    ");\n";

#define TRACK_VERSION 1

static bool
names_grow(struct track_names *names)
{
    size_t room = names->room == 0 ? 8 : 2 * names->room;
    char **items = realloc(names->items, room * sizeof *items);

    if (items == NULL)
        return false;
    names->items = items;
    names->room = room;
    return true;
}

bool
track_names_add(struct track_names *names, const char *text)
{
    if (names->count == names->room && !names_grow(names))
        return false;
    names->items[names->count] = strdup(text);
    return names->items[names->count] != NULL && ++names->count > 0;
}

void
track_names_fini(struct track_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct track_names){0};
}

void
track_definition_fini(struct track_definition *definition)
{
    free(definition->name);
    free(definition->notification);
    free(definition->channel);
    free(definition->channel_column);
    free(definition->recipient_column);
    free(definition->where);
    track_names_fini(&definition->key);
    track_names_fini(&definition->columns);
    *definition = (struct track_definition){0};
}

/* --- reading ------------------------------------------------------------------------------------
 */

static enum store_result
has_definitions(struct store *store, bool *has, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rowcast_track'",
        &result, error);

    *has = false;
    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    *has = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "read what is tracked", error);
    sqlite3_finalize(statement);
    return result;
}

/* The first column of each row that `sql` gives for one text. */
static enum store_result
read_names(struct store *store, const char *sql, const char *text,
           struct track_names *names, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    int code;

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        if (!track_names_add(names, name != NULL ? name : "")) {
            code = SQLITE_NOMEM;
            break;
        }
    }
    if (code != SQLITE_DONE)
        result = store_fail(store, code, "read what is tracked", error);
    sqlite3_finalize(statement);
    return result;
}

enum store_result
track_definition_names(struct store *store, struct track_names *names, struct error *error)
{
    bool has;
    enum store_result result = has_definitions(store, &has, error);

    if (result != STORE_OK || !has)
        return result;
    return read_names(
        store, "SELECT name FROM rowcast_track WHERE notification = ?1 ORDER BY name",
        store_table(store), names, error);
}

/* A copy of the column's text; NULL for NULL. */
static char *
copy_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL ? strdup(text) : NULL;
}

/* What is no list of names, written by hand, gives none; track_bind refuses that. */
static enum store_result
copy_names(struct store *store, sqlite3_stmt *statement, int column,
           struct track_names *names, struct error *error)
{
    const char *json = (const char *)sqlite3_column_text(statement, column);

    return read_names(store,
                      "SELECT value FROM json_each(iif(json_valid(?1), ?1, '[]')) "
                      "WHERE type = 'text' ORDER BY key LIMIT 1000",
                      json != NULL ? json : "[]", names, error);
}

static enum store_result
copy_definition(struct store *store, sqlite3_stmt *statement,
                struct track_definition *definition, struct error *error)
{
    definition->name = copy_text(statement, 0);
    definition->notification = copy_text(statement, 1);
    definition->default_key = sqlite3_column_int(statement, 4) != 0;
    definition->default_columns = sqlite3_column_int(statement, 5) != 0;
    definition->channel = copy_text(statement, 6);
    definition->channel_column = copy_text(statement, 7);
    definition->recipient_column = copy_text(statement, 8);
    definition->where = copy_text(statement, 9);
    enum store_result result = copy_names(store, statement, 2, &definition->key, error);
    if (result == STORE_OK)
        result = copy_names(store, statement, 3, &definition->columns, error);
    if (result == STORE_OK && sqlite3_column_int(statement, 10) > TRACK_VERSION) {
        error_set(error, "%s: %s is tracked by a newer rowcast: upgrade this one",
                  store_path(store), definition->name);
        result = STORE_REFUSED;
    }
    return result;
}

enum store_result
track_definition_read(struct store *store, struct slice name,
                      struct track_definition *definition, bool *found, struct error *error)
{
    enum store_result result = has_definitions(store, found, error);

    *definition = (struct track_definition){0};
    if (result != STORE_OK || !*found)
        return result;
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT name, notification, \"key\", columns, default_key, default_columns, "
        "channel, "
        "channel_column, recipient_column, \"where\", version FROM rowcast_track "
        "WHERE name = ?1 AND notification = ?2",
        &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, name.p, (int)name.len, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, store_table(store), -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    *found = code == SQLITE_ROW;
    if (code == SQLITE_ROW)
        result = copy_definition(store, statement, definition, error);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read what is tracked", error);
    sqlite3_finalize(statement);
    if (result != STORE_OK)
        track_definition_fini(definition);
    return result;
}

/* --- writing ------------------------------------------------------------------------------------
 */

static void
put_names(sqlite3_str *sql, const struct track_names *names)
{
    struct buf json = {0};

    for (size_t i = 0; i < names->count; i++) {
        buf_append_text(&json, i == 0 ? "[" : ",");
        json_append_string(&json, slice_of(names->items[i]));
    }
    buf_append(&json, "]", 2);
    sqlite3_str_appendf(sql, "%Q", json.failed ? NULL : json.p);
    buf_fini(&json);
}

void
track_definition_put(const struct track_definition *definition, sqlite3_str *sql)
{
    sqlite3_str_appendall(
        sql, "REPLACE INTO rowcast_track(name, notification, \"key\", columns, "
             "default_key, default_columns,\n"
             "    channel, channel_column, recipient_column, \"where\", version)\n"
             "VALUES (");
    sqlite3_str_appendf(sql, "%Q, %Q, ", definition->name, definition->notification);
    put_names(sql, &definition->key);
    sqlite3_str_appendall(sql, ", ");
    put_names(sql, &definition->columns);
    sqlite3_str_appendf(sql, ", %d, %d,\n    %Q, %Q, %Q, %Q, %d);\n",
                        definition->default_key, definition->default_columns,
                        definition->channel, definition->channel_column,
                        definition->recipient_column, definition->where, TRACK_VERSION);
}
