/* state.c - the rows of a tracked table in the order of its key, as its events have them.
 *
 * Called for state=, within a read transaction of the caller's. Nothing but a cursor (the last row's
 * key) is kept between two calls, so that a reader who is slow holds no transaction. */
#include "config.h"

#include "track/internal.h"

/* --- the text ----------------------------------------------------------------------------------- */

static void
put_key_columns(sqlite3_str *sql, const struct track *track, const char *after)
{
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_column *column = &track->table.columns[track->key[i]];
        sqlite3_str_appendall(sql, i == 0 ? "" : ", ");
        track_put_column(sql, track->quoted, column->name);
        if (sqlite3_stricmp(column->collation, track->key_collation[i]) != 0)
            sqlite3_str_appendf(sql, " COLLATE \"%w\"", track->key_collation[i]);
        sqlite3_str_appendall(sql, after);
    }
}

/* A row value (sqlite.org/rowvalue.html section 2.1), so that the key's index finds the place. */
static void
put_behind_key(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, track->key_count > 1 ? " AND (" : " AND ");
    put_key_columns(sql, track, "");
    sqlite3_str_appendall(sql, track->key_count > 1 ? ")" : "");
    sqlite3_str_appendall(sql, track->key_descending ? " < " : " > ");
    sqlite3_str_appendall(sql, track->key_count > 1 ? "(" : "");
    for (size_t i = 0; i < track->key_count; i++)
        sqlite3_str_appendf(sql, "%s?%u", i == 0 ? "" : ", ", (unsigned)i + 1);
    sqlite3_str_appendall(sql, track->key_count > 1 ? ")" : "");
}

char *
track_state_text(const struct track *track, enum track_from from)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    unsigned limit = from == TRACK_FROM_KEY ? (unsigned)track->key_count + 1 : 1;

    sqlite3_str_appendall(sql, "SELECT ");
    for (size_t i = 0; i < track->key_count; i++) {
        track_put_column(sql, track->quoted, track->table.columns[track->key[i]].name);
        sqlite3_str_appendall(sql, ", ");
    }
    track_put_channel(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ",\n    ");
    track_put_key(sql, track, track->quoted);
    /* Not in the WHERE: a million rows that nobody may see would be passed over in one step. */
    sqlite3_str_appendall(sql, ",\n    CASE WHEN ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, " THEN\n    ");
    track_put_row(sql, track, track->quoted);
    sqlite3_str_appendf(sql, "\n    END\nFROM %s WHERE ", track->quoted);
    track_put_has_key(sql, track, track->quoted);
    if (from == TRACK_FROM_KEY)
        put_behind_key(sql, track);
    sqlite3_str_appendall(sql, "\nORDER BY ");
    put_key_columns(sql, track, track->key_descending ? " DESC" : "");
    sqlite3_str_appendf(sql, " LIMIT ?%u", limit);
    return sqlite3_str_finish(sql);
}

void
track_free_text(char *text)
{
    sqlite3_free(text);
}

/* --- reading ------------------------------------------------------------------------------------ */

void
track_cursor_fini(struct track_cursor *cursor)
{
    for (size_t i = 0; i < cursor->count; i++)
        sqlite3_value_free(cursor->key[i]);
    cursor->count = 0;
}

bool
track_cursor_copy(struct track_cursor *to, const struct track_cursor *from)
{
    for (; to->count < from->count; to->count++) {
        to->key[to->count] = sqlite3_value_dup(from->key[to->count]);
        if (to->key[to->count] == NULL) {
            track_cursor_fini(to);
            return false;
        }
    }
    return true;
}

/* False: out of memory; the cursor is then before the first row. */
static bool
move_cursor(struct track_cursor *cursor, const struct track *track, sqlite3_stmt *statement)
{
    track_cursor_fini(cursor);
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(statement, (int)i));
        if (value == NULL) {
            track_cursor_fini(cursor);
            return false;
        }
        cursor->key[cursor->count++] = value;
    }
    return true;
}

static struct slice
slice_column(sqlite3_stmt *statement, size_t column)
{
    const char *p = (const char *)sqlite3_column_text(statement, (int)column);
    return (struct slice){
        p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, (int)column)};
}

static enum store_step
give_row(sqlite3_stmt *statement, const struct track *track, track_row_fn fn, void *arg)
{
    size_t at = track->key_count;
    struct track_row row = {.channel = slice_column(statement, at),
                            .recipient = slice_column(statement, at + 1),
                            .key = slice_column(statement, at + 2),
                            .row = slice_column(statement, at + 3)};
    return fn(arg, &row);
}

static sqlite3_stmt *
prepare_behind(struct store *store, const struct track *track,
               const struct track_cursor *cursor, size_t max_rows,
               enum store_result *result, struct error *error)
{
    char *text =
        track_state_text(track, cursor->count > 0 ? TRACK_FROM_KEY : TRACK_FROM_START);

    if (text == NULL) {
        *result = store_fail(store, SQLITE_NOMEM, "read the rows", error);
        return NULL;
    }
    sqlite3_stmt *statement = store_prepare_once(store, text, result, error);
    track_free_text(text);
    if (*result != STORE_OK)
        return NULL;
    for (size_t i = 0; i < cursor->count; i++)
        sqlite3_bind_value(statement, (int)i + 1, cursor->key[i]);
    sqlite3_bind_int64(statement, (int)cursor->count + 1, (sqlite3_int64)max_rows);
    return statement;
}

enum store_result
track_read_rows(struct store *store, const struct track *track, struct track_cursor *cursor,
                size_t max_rows, track_row_fn fn, void *arg, bool *more,
                struct error *error)
{
    enum store_result result;
    enum store_step step = STORE_MORE;
    size_t count = 0;
    int code = SQLITE_DONE;
    sqlite3_stmt *statement =
        prepare_behind(store, track, cursor, max_rows, &result, error);

    *more = true;
    if (result != STORE_OK)
        return result;
    while (step == STORE_MORE && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        step = give_row(statement, track, fn, arg);
        count++;
        if (!move_cursor(cursor, track, statement)) {
            code = SQLITE_NOMEM;
            break;
        }
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "read the rows", error);
    *more = step == STORE_STOP || code != SQLITE_DONE || count == max_rows;
    sqlite3_finalize(statement);
    return result;
}
