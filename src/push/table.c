/* table.c - the statements on rowcast_push; see push/table.h.
 *
 * They run on the store's connection, so that what is read is of the same snapshot as the log. A
 * cursor above the newest row is of another life of the table (a backup was put back): the
 * reader takes it for the newest row's. */
#include "config.h"

#include "push/table.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/connection.h"

/* --- binding and running ------------------------------------------------------------ */

static void
bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC); /* NULL binds NULL */
}

/* 0 is NULL. */
static void
bind_time(sqlite3_stmt *statement, int at, int64_t ms)
{
    if (ms == 0)
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_int64(statement, at, ms);
}

/* Runs a statement that gives no rows and resets it. */
static enum store_result
run(struct store *store, sqlite3_stmt *statement, const char *doing, struct error *error)
{
    int code = sqlite3_step(statement);
    enum store_result result =
        code == SQLITE_DONE ? STORE_OK : store_fail(store, code, doing, error);
    sqlite3_reset(statement);
    return result;
}

static struct slice
text_at(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (struct slice){text, (size_t)sqlite3_column_bytes(statement, column)};
}

/* --- serve -------------------------------------------------------------------------- */

/* A bound on subscriptions: which others count, and how many there may be with the new one. */
struct bound {
    const char *sql;   /* counts: of the value ?1, without the endpoint ?2 */
    const char *value; /* NULL: the bound is not about this subscription */
    const char *endpoint;
    int64_t max; /* 0: none */
    enum push_put full;
};

static enum store_result
judge_bound(struct store *store, const struct bound *bound, enum push_put *put,
            struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, bound->sql, &result, error);
    if (statement == NULL)
        return result;
    bind_text(statement, 1, bound->value);
    bind_text(statement, 2, bound->endpoint);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        result = store_fail(store, code, "count the subscriptions", error);
    else if (sqlite3_column_int64(statement, 0) >= bound->max)
        *put = bound->full;
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
judge_counts(struct store *store, const struct push_entry *entry, enum push_put *put,
             struct error *error)
{
    const struct bound bounds[] = {
        {"SELECT count(*) FROM rowcast_push WHERE user = ?1 AND endpoint <> ?2",
         entry->user, entry->endpoint, entry->max_of_user, PUSH_USER_FULL},
        {"SELECT count(*) FROM rowcast_push WHERE address = ?1 AND endpoint <> ?2",
         entry->address, entry->endpoint, entry->max_of_address, PUSH_ADDRESS_FULL},
        /* One that is there already may be renewed, also when the bound is lower now. */
        {"SELECT CASE WHEN EXISTS (SELECT 1 FROM rowcast_push WHERE endpoint = ?2) THEN 0"
         " ELSE (SELECT count(*) FROM rowcast_push) END",
         entry->endpoint, entry->endpoint, entry->max_of_all, PUSH_ALL_FULL}};
    enum store_result result = STORE_OK;
    *put = PUSH_PUT;
    for (size_t i = 0; i < 3 && result == STORE_OK && *put == PUSH_PUT; i++)
        if (bounds[i].value != NULL && bounds[i].max > 0)
            result = judge_bound(store, &bounds[i], put, error);
    return result;
}

static const char put_sql[] =
    "INSERT INTO rowcast_push(endpoint, user, channels, bounds, ticket_bounds, p256dh, "
    "auth,"
    " vapid_key, page, address, absent, cursor, created_at, expires_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    " ON CONFLICT(endpoint) DO UPDATE SET"
    " cursor = CASE WHEN user IS excluded.user THEN cursor ELSE excluded.cursor END,"
    " user = excluded.user, channels = excluded.channels, bounds = excluded.bounds,"
    " ticket_bounds = excluded.ticket_bounds, p256dh = excluded.p256dh,"
    " auth = excluded.auth, vapid_key = excluded.vapid_key, page = excluded.page,"
    " address = excluded.address, absent = excluded.absent,"
    " created_at = excluded.created_at, expires_at = excluded.expires_at";

static enum store_result
put_entry(struct store *store, const struct push_entry *entry, int64_t tail,
          struct error *error)
{
    const char *texts[] = {
        entry->endpoint, entry->user, entry->channels,  entry->bounds, entry->ticket_bounds,
        entry->p256dh,   entry->auth, entry->vapid_key, entry->page,   entry->address};
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, put_sql, &result, error);
    if (statement == NULL)
        return result;
    for (int i = 0; i < 10; i++)
        bind_text(statement, i + 1, texts[i]);
    sqlite3_bind_int(statement, 11, entry->absent);
    sqlite3_bind_int64(statement, 12, tail);
    sqlite3_bind_int64(statement, 13, entry->now_ms);
    bind_time(statement, 14, entry->expires_at);
    result = run(store, statement, "store the subscription", error);
    sqlite3_finalize(statement);
    return result;
}

enum store_result
push_table_put(struct store *store, const struct push_entry *entry, enum push_put *put,
               struct error *error)
{
    struct store_marks marks;
    enum store_result result = judge_counts(store, entry, put, error);
    if (result != STORE_OK || *put != PUSH_PUT)
        return result;
    result = store_read_marks(store, &marks, error);
    if (result == STORE_OK)
        result = put_entry(store, entry, marks.tail, error);
    return result;
}

enum store_result
push_table_remove(struct store *store, const char *endpoint, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store, "DELETE FROM rowcast_push WHERE endpoint = ?", &result, error);
    if (statement == NULL)
        return result;
    bind_text(statement, 1, endpoint);
    result = run(store, statement, "end the subscription", error);
    sqlite3_finalize(statement);
    return result;
}

/* --- the sender --------------------------------------------------------------------- */

enum statement { SCAN, READ, NOTE, END, PRESENT, STATEMENTS };

/* A revocation that is newer than the subscription ends it. */
#define COLUMNS                                                                            \
    "SELECT rowid, endpoint, user, channels, bounds, ticket_bounds, p256dh, auth,"         \
    " vapid_key, page, absent = 1, cursor, coalesce(retry_at, 0), failures,"               \
    " coalesce(expires_at <= ?1, 0) OR (user IS NOT NULL AND EXISTS (SELECT 1 FROM"        \
    " rowcast_revocation AS r WHERE r.user = p.user AND r.before >= p.created_at))"        \
    " FROM rowcast_push AS p"

static const char *const texts[STATEMENTS] = {
    [SCAN] = COLUMNS " ORDER BY rowid",
    [READ] = COLUMNS " WHERE endpoint = ?2",
    [NOTE] =
        "UPDATE rowcast_push SET cursor = max(cursor, ?2), retry_at = ?3, failures = ?4,"
        " last_status = ?5, last_error = ?6 WHERE endpoint = ?1",
    [END] = "DELETE FROM rowcast_push WHERE endpoint = ?1",
    [PRESENT] = "SELECT DISTINCT user FROM rowcast_presence WHERE user IS NOT NULL",
};

struct push_table {
    struct store *store;
    sqlite3_stmt *statements[STATEMENTS];
};

void
push_table_close(struct push_table *table)
{
    if (table == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(table->statements[i]);
    free(table);
}

struct push_table *
push_table_open(struct store *store, struct error *error)
{
    struct push_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    table->store = store;
    for (int i = 0; i < STATEMENTS; i++) {
        int code =
            sqlite3_prepare_v3(store_connection(store), texts[i], -1,
                               SQLITE_PREPARE_PERSISTENT, &table->statements[i], NULL);
        if (code == SQLITE_OK)
            continue;
        store_fail(store, code, "read the subscriptions (rowcast init makes the tables)",
                   error);
        push_table_close(table);
        return NULL;
    }
    return table;
}

static void
give_row(sqlite3_stmt *statement, struct push_scan *scan)
{
    const struct push_row row = {.rowid = sqlite3_column_int64(statement, 0),
                                 .endpoint = text_at(statement, 1),
                                 .user = text_at(statement, 2),
                                 .channels = text_at(statement, 3),
                                 .bounds = text_at(statement, 4),
                                 .ticket_bounds = text_at(statement, 5),
                                 .p256dh = text_at(statement, 6),
                                 .auth = text_at(statement, 7),
                                 .vapid_key = text_at(statement, 8),
                                 .page = text_at(statement, 9),
                                 .absent = sqlite3_column_int(statement, 10) != 0,
                                 .cursor = sqlite3_column_int64(statement, 11),
                                 .retry_at = sqlite3_column_int64(statement, 12),
                                 .failures = sqlite3_column_int64(statement, 13),
                                 .is_over = sqlite3_column_int(statement, 14) != 0};
    scan->count++;
    scan->take(scan->arg, &row);
}

enum store_result
push_table_scan(struct push_table *table, struct push_scan *scan, struct error *error)
{
    sqlite3_stmt *statement = table->statements[SCAN];
    enum store_result result = STORE_OK;
    int code;
    scan->count = 0;
    sqlite3_bind_int64(statement, 1, scan->now_ms);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        give_row(statement, scan);
    if (code != SQLITE_DONE)
        result = store_fail(table->store, code, "read the subscriptions", error);
    sqlite3_reset(statement);
    return result;
}

enum store_result
push_table_read(struct push_table *table, const char *endpoint, struct push_scan *scan,
                struct error *error)
{
    sqlite3_stmt *statement = table->statements[READ];
    enum store_result result = STORE_OK;
    scan->count = 0;
    sqlite3_bind_int64(statement, 1, scan->now_ms);
    bind_text(statement, 2, endpoint);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        give_row(statement, scan);
    else if (code != SQLITE_DONE)
        result = store_fail(table->store, code, "read a subscription", error);
    sqlite3_reset(statement);
    return result;
}

enum store_result
push_table_note(struct push_table *table, const struct push_note *note, struct error *error)
{
    sqlite3_stmt *statement = table->statements[NOTE];
    bind_text(statement, 1, note->endpoint);
    sqlite3_bind_int64(statement, 2, note->cursor);
    bind_time(statement, 3, note->retry_at);
    sqlite3_bind_int64(statement, 4, note->failures);
    bind_time(statement, 5, note->status);
    bind_text(statement, 6, note->why);
    return run(table->store, statement, "note what was sent", error);
}

enum store_result
push_table_end(struct push_table *table, const char *endpoint, struct error *error)
{
    bind_text(table->statements[END], 1, endpoint);
    return run(table->store, table->statements[END], "end a subscription", error);
}

enum store_result
push_table_present(struct push_table *table, push_user_fn take, void *arg,
                   struct error *error)
{
    sqlite3_stmt *statement = table->statements[PRESENT];
    enum store_result result = STORE_OK;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        take(arg, text_at(statement, 0));
    if (code != SQLITE_DONE)
        result = store_fail(table->store, code, "read who is present", error);
    sqlite3_reset(statement);
    return result;
}

/* --- doctor ------------------------------------------------------------------------- */

static const char sum_sql[] =
    "SELECT count(*), sum(failures > 0), sum(vapid_key <> ?1),"
    " sum(retry_at IS NOT NULL), (SELECT last_status FROM rowcast_push WHERE failures > 0"
    " ORDER BY failures DESC LIMIT 1), (SELECT last_error FROM rowcast_push"
    " WHERE failures > 0 ORDER BY failures DESC LIMIT 1) FROM rowcast_push";

enum store_result
push_table_sum(struct store *store, const char *vapid_key, struct push_summary *summary,
               struct error *error)
{
    enum store_result result;
    struct error none;
    *summary = (struct push_summary){.exists = false};
    sqlite3_stmt *statement = store_prepare_once(store, sum_sql, &result, &none);
    if (statement == NULL)
        return STORE_OK; /* a database that rowcast has not made, or of an older version */
    bind_text(statement, 1, vapid_key);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        struct slice why = text_at(statement, 5);
        summary->exists = true;
        summary->count = sqlite3_column_int64(statement, 0);
        summary->failing = sqlite3_column_int64(statement, 1);
        summary->other_key = sqlite3_column_int64(statement, 2);
        summary->waiting = sqlite3_column_int64(statement, 3);
        summary->last_status = sqlite3_column_int(statement, 4);
        if (why.p != NULL)
            sqlite3_snprintf(sizeof summary->last_error, summary->last_error, "%s", why.p);
    } else {
        result = store_fail(store, code, "count the subscriptions", error);
    }
    sqlite3_finalize(statement);
    return result;
}
