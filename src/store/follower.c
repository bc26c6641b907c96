/* follower.c - see store/follower.h.
 *
 * SQLite's triggers on the table hold for a follower's rows as for all others: ids grow, and
 * what is deleted raises the low-water mark. */
#include "config.h"

#include "store/follower.h"

#include <stdio.h>

#include "store/internal.h"

/* RAISE(FAIL) keeps what the statement has done before it: the count. */
static const char mark_sql[] =
    "CREATE TABLE IF NOT EXISTS \"rowcast_follow\"("
    "table_name TEXT PRIMARY KEY COLLATE NOCASE, origin TEXT NOT NULL, source TEXT NOT "
    "NULL, "
    "writing INTEGER NOT NULL DEFAULT 0, "
    "\"cursor\" INTEGER NOT NULL DEFAULT 0, base INTEGER NOT NULL DEFAULT 0, "
    "deletions INTEGER NOT NULL DEFAULT 0, deletion_mark INTEGER NOT NULL DEFAULT 0, "
    "contact_at INTEGER NOT NULL DEFAULT 0, "
    "answer_at INTEGER NOT NULL DEFAULT 0, alive_at INTEGER NOT NULL DEFAULT 0, "
    "behind INTEGER NOT NULL DEFAULT 0, "
    "refused INTEGER NOT NULL DEFAULT 0, refused_at INTEGER NOT NULL DEFAULT 0, "
    "trouble TEXT NOT NULL DEFAULT '');"
    "DROP TRIGGER IF EXISTS \"notification_follow\";"
    "CREATE TRIGGER \"notification_follow\" BEFORE INSERT ON \"notification\" "
    "WHEN (SELECT writing FROM \"rowcast_follow\" WHERE table_name = 'notification') IS "
    "NOT 1 "
    "BEGIN "
    "UPDATE \"rowcast_follow\" SET refused = refused + 1, refused_at = "
    "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) "
    "WHERE table_name = 'notification'; "
    "SELECT RAISE(FAIL, 'rowcast: this database follows PostgreSQL: insert the row there, "
    "into "
    "its table notification, and every node gets it'); "
    "END";

/* --- reading --------------------------------------------------------------------------- */

static void
take_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static void
take_follower(sqlite3_stmt *statement, struct store_follower *follower)
{
    take_text(statement, 0, follower->origin, sizeof follower->origin);
    take_text(statement, 1, follower->source, sizeof follower->source);
    follower->cursor = sqlite3_column_int64(statement, 2);
    follower->base = sqlite3_column_int64(statement, 3);
    follower->deletions = sqlite3_column_int64(statement, 4);
    follower->contact_at_ms = sqlite3_column_int64(statement, 5);
    follower->answer_at_ms = sqlite3_column_int64(statement, 6);
    follower->behind = sqlite3_column_int64(statement, 7);
    follower->refused = sqlite3_column_int64(statement, 8);
    follower->refused_at_ms = sqlite3_column_int64(statement, 9);
    take_text(statement, 10, follower->trouble, sizeof follower->trouble);
    follower->alive_at_ms = sqlite3_column_int64(statement, 11);
    follower->deletion_mark = sqlite3_column_int64(statement, 12);
}

static enum store_result
has_mark(struct store *store, bool *has, struct error *error)
{
    int64_t count = 0;
    enum store_result result =
        store_ask_number(store,
                         "SELECT count(*) FROM sqlite_master WHERE type = 'table' "
                         "AND name = 'rowcast_follow'",
                         NULL, &count, error);

    *has = count > 0;
    return result;
}

enum store_result
store_follower_read(struct store *store, bool *is_follower, struct store_follower *follower,
                    struct error *error)
{
    *follower = (struct store_follower){.cursor = 0};
    enum store_result result = has_mark(store, is_follower, error);
    if (result != STORE_OK || !*is_follower)
        return result;
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT origin, source, \"cursor\", base, deletions, contact_at, answer_at, "
        "behind, "
        "refused, refused_at, trouble, alive_at, deletion_mark FROM rowcast_follow WHERE "
        "table_name = ?1",
        &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, store->table, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    *is_follower = code == SQLITE_ROW;
    if (code == SQLITE_ROW)
        take_follower(statement, follower);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read what it follows", error);
    sqlite3_finalize(statement);
    return result;
}

int64_t
store_follower_lag_ms(const struct store_follower *follower, int64_t now_ms)
{
    /* The follower notes each second that nothing was missing. */
    int64_t lag_ms = now_ms - follower->contact_at_ms;
    return lag_ms > 2000 ? lag_ms : 0;
}

enum store_result
store_follower_top(struct store *store, struct store_seen *top, struct error *error)
{
    enum store_result result;
    char *sql = sqlite3_mprintf(
        "SELECT id, created_at FROM \"%w\" ORDER BY id DESC LIMIT 1", store->table);

    *top = (struct store_seen){0};
    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "read the last row", error);
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    sqlite3_free(sql);
    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *top = (struct store_seen){sqlite3_column_int64(statement, 0),
                                   sqlite3_column_int64(statement, 1)};
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the last row", error);
    sqlite3_finalize(statement);
    return result;
}

/* --- the mark -------------------------------------------------------------------------- */

/* Runs SQL that sqlite3_mprintf has made; NULL: out of memory. Frees it. */
static enum store_result
run_taken(struct store *store, char *sql, const char *doing, struct error *error)
{
    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, doing, error);
    enum store_result result = store_execute(store, sql, doing, error);
    sqlite3_free(sql);
    return result;
}

/* Only of a table that has never had a row: no reader can hold an id of it. */
static enum store_result
set_floor(struct store *store, int64_t floor, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_read_marks(store, &marks, error);

    if (result != STORE_OK || marks.lowest <= marks.tail || marks.low_water != marks.base ||
        marks.tail != marks.base)
        return result;
    return run_taken(
        store,
        sqlite3_mprintf("UPDATE rowcast_meta SET base = %lld, low_water = %lld "
                        "WHERE table_name = %Q; "
                        "UPDATE sqlite_sequence SET seq = %lld WHERE name = %Q",
                        (long long)floor, (long long)floor, store->table, (long long)floor,
                        store->table),
        "mark it as a follower's", error);
}

static enum store_result
write_state(struct store *store, const struct store_follower *follower, int writing,
            struct error *error)
{
    return run_taken(
        store,
        sqlite3_mprintf(
            "INSERT INTO rowcast_follow(table_name, origin, source, writing, "
            "\"cursor\", base, "
            "deletions, deletion_mark, contact_at, answer_at, alive_at, behind, trouble) "
            "VALUES (%Q, %Q, %Q, %d, %lld, %lld, %lld, %lld, %lld, %lld, "
            "%lld, %lld, %Q) "
            "ON CONFLICT(table_name) DO UPDATE SET origin = excluded.origin, "
            "source = excluded.source, writing = excluded.writing, "
            "\"cursor\" = excluded.\"cursor\", base = excluded.base, "
            "deletions = excluded.deletions, "
            "deletion_mark = excluded.deletion_mark, "
            "contact_at = excluded.contact_at, "
            "answer_at = excluded.answer_at, alive_at = excluded.alive_at, "
            "behind = excluded.behind, "
            "trouble = excluded.trouble",
            store->table, follower->origin, follower->source, writing,
            (long long)follower->cursor, (long long)follower->base,
            (long long)follower->deletions, (long long)follower->deletion_mark,
            (long long)follower->contact_at_ms, (long long)follower->answer_at_ms,
            (long long)follower->alive_at_ms, (long long)follower->behind,
            follower->trouble),
        "write what it follows", error);
}

static enum store_result
mark(struct store *store, const struct store_follower *follower, int64_t floor,
     struct error *error)
{
    enum store_result result =
        store_execute_renamed(store, slice_of(mark_sql), store->table, error);
    if (result == STORE_OK)
        result = set_floor(store, floor, error);
    if (result == STORE_OK)
        result = write_state(store, follower, 0, error);
    return result == STORE_OK ? store_commit(store, error) : result;
}

enum store_result
store_follower_mark(struct store *store, const struct store_follower *follower,
                    int64_t floor, struct error *error)
{
    enum store_result result = store_begin_write(store, error);
    if (result == STORE_OK)
        result = mark(store, follower, floor, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

/* --- writing --------------------------------------------------------------------------- */

static enum store_result
set_writing(struct store *store, int writing, struct error *error)
{
    return run_taken(
        store,
        sqlite3_mprintf("UPDATE rowcast_follow SET writing = %d WHERE table_name = %Q",
                        writing, store->table),
        "begin to write", error);
}

enum store_result
store_follower_begin(struct store *store, struct error *error)
{
    enum store_result result = store_begin_write(store, error);
    if (result == STORE_OK)
        result = set_writing(store, 1, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

static void
bind_text(sqlite3_stmt *statement, int parameter, struct slice text)
{
    if (text.p == NULL)
        sqlite3_bind_null(statement, parameter);
    else
        sqlite3_bind_text64(statement, parameter, text.p, text.len, SQLITE_STATIC,
                            SQLITE_UTF8);
}

enum store_result
store_follower_insert(struct store *store, const struct row *row, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_INSERT_FOLLOWED, &result, error);

    store->refusal[0] = '\0';
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, row->id);
    bind_text(statement, 2, row->channel);
    bind_text(statement, 3, row->recipient);
    bind_text(statement, 4, row->event);
    bind_text(statement, 5, row->collapse_key);
    sqlite3_bind_int64(statement, 6, row->created_at);
    if (row->expires_at != 0)
        sqlite3_bind_int64(statement, 7, row->expires_at);
    else
        sqlite3_bind_null(statement, 7);
    bind_text(statement, 8, row->data);
    result = store_run(store, statement, "insert the row", error);
    sqlite3_clear_bindings(statement);
    return result;
}

static enum store_result
delete_between(struct store *store, int64_t first, int64_t last, int64_t *deleted,
               struct error *error)
{
    enum store_result result;

    if (first > last)
        return STORE_OK;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_DELETE_BETWEEN, &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, first);
    sqlite3_bind_int64(statement, 2, last);
    result = store_run(store, statement, "delete rows", error);
    if (result == STORE_OK)
        *deleted += sqlite3_changes(store->db);
    return result;
}

enum store_result
store_follower_delete(struct store *store, const struct store_ids *kept, int64_t *deleted,
                      struct error *error)
{
    enum store_result result = STORE_OK;
    int64_t from = kept->first;

    for (size_t i = 0; i < kept->count && result == STORE_OK; i++) {
        if (kept->ids[i] > from)
            result = delete_between(store, from, kept->ids[i] - 1, deleted, error);
        from = kept->ids[i] + 1;
    }
    return result == STORE_OK ? delete_between(store, from, kept->last, deleted, error)
                              : result;
}

/* The sequence gives no id here, but what judges the table goes by it: never below the marks. */
static enum store_result
write_marks(struct store *store, const struct store_follower *follower,
            const struct store_follower_marks *marks, struct error *error)
{
    int64_t sequence = follower->cursor > marks->base ? follower->cursor : marks->base;

    return run_taken(
        store,
        sqlite3_mprintf(
            "UPDATE rowcast_meta SET low_water = max(low_water, %lld), "
            "base = max(base, %lld) WHERE table_name = %Q; "
            "UPDATE sqlite_sequence SET seq = max(seq, %lld, (SELECT max(base, low_water) "
            "FROM rowcast_meta WHERE table_name = %Q)) WHERE name = %Q",
            (long long)marks->low_water, (long long)marks->base, store->table,
            (long long)sequence, store->table, store->table),
        "write the marks", error);
}

enum store_result
store_follower_commit(struct store *store, const struct store_follower *follower,
                      const struct store_follower_marks *marks, struct error *error)
{
    enum store_result result = write_marks(store, follower, marks, error);
    if (result == STORE_OK)
        result = write_state(store, follower, 0, error);
    return result == STORE_OK ? store_commit(store, error) : result;
}

enum store_result
store_follower_note(struct store *store, const struct store_follower *follower,
                    struct error *error)
{
    enum store_result result = store_begin_write(store, error);
    if (result == STORE_OK)
        result = write_state(store, follower, 0, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}
