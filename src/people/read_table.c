/* read_table.c - the SQL of rowcast_read; see people/read_table.h.
 *
 * The user's pages learn of a mark that moves by the schema's triggers, which put a row
 * rowcast:read into the log. */
#include "config.h"

#include "people/read_table.h"

#include "people/internal.h"

static struct slice
column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (struct slice){text, (size_t)sqlite3_column_bytes(statement, column)};
}

/* Whether the row is there and the user may read it: then move->found has its channel. */
static void
take_row(sqlite3_stmt *statement, struct read_move *move)
{
    struct slice channel = column_text(statement, 0);
    struct slice recipient = column_text(statement, 1);
    if (!filter_matches(move->filter, channel, recipient))
        return;
    buf_append(&move->found, channel.p, channel.len);
    move->verdict = READ_MOVED;
}

static enum store_result
find_channel(struct store *store, struct read_move *move, struct error *error)
{
    enum store_result result;
    move->verdict = READ_NO_ROW;
    char *sql = sqlite3_mprintf("SELECT channel, recipient FROM \"%w\" WHERE id = ?1",
                                store_table(store));
    sqlite3_stmt *statement =
        store_prepare_once(store, sql != NULL ? sql : "", &result, error);
    sqlite3_free(sql);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, move->id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        take_row(statement, move);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "find the row", error);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
run_bound(struct store *store, struct read_move *move, const char *sql, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    if (result != STORE_OK)
        return result;
    store_bind_text(statement, 1, slice_of(move->filter->user));
    store_bind_text(statement, 2, buf_slice(&move->found));
    if (sqlite3_bind_parameter_count(statement) > 2)
        sqlite3_bind_int64(statement, 3, move->id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        move->mark = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "move the mark", error);
    sqlite3_finalize(statement);
    return result;
}

/* The row by which the user's other pages learn of the mark, if the statement before moved it. */
static enum store_result
write_row(struct store *store, struct read_move *move, struct error *error)
{
    char *sql = sqlite3_mprintf(
        "INSERT INTO \"%w\"(channel, recipient, event, collapse_key, data) "
        "SELECT ?2, ?1, 'rowcast:read', 'rowcast:read', "
        "json_object('channel', ?2, 'id', CAST(?3 AS TEXT)) WHERE changes() > 0",
        store_table(store));
    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "move the mark", error);
    enum store_result result = run_bound(store, move, sql, error);
    sqlite3_free(sql);
    return result;
}

static enum store_result
write_mark(struct store *store, struct read_move *move, struct error *error)
{
    enum store_result result = run_bound(
        store, move,
        "INSERT INTO rowcast_read(user, channel, id) VALUES (?1, ?2, ?3) "
        "ON CONFLICT(user, channel) DO UPDATE SET id = excluded.id WHERE excluded.id > id",
        error);
    if (result == STORE_OK)
        result = write_row(store, move, error);
    if (result != STORE_OK)
        return result;
    return run_bound(store, move,
                     "SELECT id FROM rowcast_read WHERE user = ?1 AND channel = ?2", error);
}

/* What can be seen before anything is looked for. */
static enum store_result
check_move(struct store *store, struct read_move *move, struct error *error)
{
    struct store_marks marks;
    bool has = false;
    move->verdict = READ_MOVED;
    enum store_result result = people_has_table(store, "rowcast_read", &has, error);
    if (result == STORE_OK && !has)
        move->verdict = READ_NO_TABLE;
    if (result != STORE_OK || !has)
        return result;
    result = store_read_marks(store, &marks, error);
    if (result == STORE_OK && move->id > marks.tail)
        move->verdict = READ_TOO_HIGH;
    return result;
}

enum store_result
read_table_move(struct store *store, struct read_move *move, struct error *error)
{
    enum store_result result = check_move(store, move, error);
    buf_clear(&move->found);
    if (result != STORE_OK || move->verdict != READ_MOVED)
        return result;
    if (move->channel != NULL)
        buf_append_text(&move->found, move->channel);
    else
        result = find_channel(store, move, error);
    if (result == STORE_OK && move->found.failed) {
        error_set(error, "out of memory");
        return STORE_FAILED;
    }
    if (result != STORE_OK || move->verdict != READ_MOVED)
        return result;
    return write_mark(store, move, error);
}
