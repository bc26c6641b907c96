/* presence_table.c - the SQL of presence; see people/presence_table.h. The tables are described in
 * sql/schema.sql. */
#include "config.h"

#include "people/presence_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "people/internal.h"

/* ?1 the user, ?2 now: another stream of hers is open, as far as leases say. */
#define IS_HERE                                                                            \
    "EXISTS(SELECT 1 FROM rowcast_presence_entry AS e JOIN rowcast_presence_worker AS w "  \
    "USING (worker) WHERE e.user = rowcast_presence_user.user AND w.until > ?2)"

static sqlite3_stmt *
prepare(struct presence_table *table, const char *sql, enum store_result *result,
        struct error *error)
{
    sqlite3_stmt *statement = store_prepare_once(table->store, sql, result, error);
    if (statement != NULL && sqlite3_bind_parameter_count(statement) >= 2)
        sqlite3_bind_int64(statement, 2, table->now_ms);
    return statement;
}

static enum store_result
run(struct presence_table *table, sqlite3_stmt *statement, struct error *error)
{
    return store_run(table->store, statement, "write who is here", error);
}

/* Runs a statement with ?1 a text (NULL: it stays NULL) and ?2 now. *changes: rows. */
static enum store_result
run_once(struct presence_table *table, const char *sql, const char *text, int *changes,
         struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = prepare(table, sql, &result, error);
    if (result != STORE_OK)
        return result;
    if (text != NULL)
        store_bind_text(statement, 1, slice_of(text));
    result = run(table, statement, error);
    *changes = sqlite3_changes(store_connection(table->store));
    sqlite3_finalize(statement);
    return result;
}

enum store_result
presence_table_check(struct store *store, struct error *error)
{
    bool has = false;
    enum store_result result =
        people_has_table(store, "rowcast_presence_user", &has, error);
    if (result != STORE_OK || has)
        return result;
    error_set(
        error,
        "%s has no tables of presence: run `rowcast init --db %s` as the user who owns "
        "the file",
        store_path(store), store_path(store));
    return STORE_FAILED;
}

/* --- join and leave ------------------------------------------------------------------ */

/* A row that a trigger of the application's refuses is left out: who is here is still right. */
static enum store_result
tell(struct presence_table *table, const char *event, const char *user, struct error *error)
{
    struct buf data = {0};
    int64_t id;
    if (table->channel == NULL)
        return STORE_OK;
    buf_append_text(&data, "{\"user\":");
    json_append_string(&data, slice_of(user));
    buf_append_text(&data, "}");
    const struct row row = {.channel = slice_of(table->channel),
                            .event = slice_of(event),
                            .data = buf_slice(&data)};
    enum store_result result = STORE_FAILED;
    if (data.failed)
        error_set(error, "out of memory");
    else
        result = store_insert(table->store, &row, &id, error);
    bool is_refused = result == STORE_FAILED && store_refusal(table->store) != NULL &&
                      sqlite3_get_autocommit(store_connection(table->store)) == 0;
    if (is_refused) {
        error_set(&table->refused, "%s", store_refusal(table->store));
        result = STORE_OK;
    }
    buf_fini(&data);
    return result;
}

/* --- the lease ----------------------------------------------------------------------- */

enum store_result
presence_table_renew(struct presence_table *table, bool *was_there, struct error *error)
{
    struct presence_table lease = *table;
    int changes = 0;
    lease.now_ms += PRESENCE_LEASE_MS;
    enum store_result result =
        run_once(&lease, "UPDATE rowcast_presence_worker SET until = ?2 WHERE worker = ?1",
                 table->worker, &changes, error);
    *was_there = changes > 0;
    if (result != STORE_OK || *was_there)
        return result;
    return run_once(&lease,
                    "INSERT INTO rowcast_presence_worker(worker, until) VALUES (?1, ?2)",
                    table->worker, &changes, error);
}

enum store_result
presence_table_end(struct presence_table *table, struct error *error)
{
    int changes;
    return run_once(table,
                    "DELETE FROM rowcast_presence_worker WHERE worker = ?1 AND NOT EXISTS("
                    "SELECT 1 FROM rowcast_presence_entry AS e WHERE e.worker = ?1)",
                    table->worker, &changes, error);
}

/* --- changes ------------------------------------------------------------------------- */

enum put_statement { PUT_ENTRY, PUT_USER, PUT_BACK, PUT_AWAY, PUT_GONE, PUTS };

static const char *const put_texts[PUTS] = {
    [PUT_ENTRY] = "INSERT INTO rowcast_presence_entry(worker, reader, user, channels, "
                  "since, address, "
                  "streams) VALUES (?3, ?1, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(worker, "
                  "reader) DO UPDATE "
                  "SET channels = excluded.channels, since = excluded.since, "
                  "address = excluded.address, streams = excluded.streams",
    [PUT_USER] = "INSERT OR IGNORE INTO rowcast_presence_user(user) VALUES (?1)",
    [PUT_BACK] = "UPDATE rowcast_presence_user SET gone_at = NULL "
                 "WHERE user = ?1 AND gone_at IS NOT NULL",
    [PUT_AWAY] = "DELETE FROM rowcast_presence_entry WHERE worker = ?3 AND reader = ?1",
    [PUT_GONE] = "UPDATE rowcast_presence_user SET gone_at = ?2 "
                 "WHERE user = ?1 AND gone_at IS NULL AND NOT " IS_HERE,
};

struct presence_put {
    struct presence_table *table;
    sqlite3_stmt *statements[PUTS];
};

void
presence_put_finish(struct presence_put *put)
{
    if (put == NULL)
        return;
    for (int i = 0; i < PUTS; i++)
        sqlite3_finalize(put->statements[i]);
    free(put);
}

struct presence_put *
presence_put_begin(struct presence_table *table, enum store_result *result,
                   struct error *error)
{
    struct presence_put *put = calloc(1, sizeof *put);
    *result = put != NULL ? STORE_OK : STORE_FAILED;
    if (put == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    put->table = table;
    for (int i = 0; i < PUTS && *result == STORE_OK; i++)
        put->statements[i] = prepare(table, put_texts[i], result, error);
    if (*result == STORE_OK)
        return put;
    presence_put_finish(put);
    return NULL;
}

/* Runs one of the statements with ?1 the text. */
static enum store_result
put_run(struct presence_put *put, enum put_statement which, const char *text,
        struct error *error)
{
    store_bind_text(put->statements[which], 1, slice_of(text));
    return run(put->table, put->statements[which], error);
}

static struct slice
slice_or_null(const char *text)
{
    return text != NULL ? slice_of(text) : (struct slice){NULL, 0};
}

static enum store_result
put_entry(struct presence_put *put, const struct here_change *change, struct error *error)
{
    sqlite3_stmt *statement = put->statements[PUT_ENTRY];
    store_bind_text(statement, 3, slice_of(put->table->worker));
    store_bind_text(statement, 4, slice_or_null(change->user));
    store_bind_text(statement, 5, slice_of(change->channels));
    sqlite3_bind_int64(statement, 6, change->since_ms);
    store_bind_text(statement, 7, slice_or_null(change->address));
    sqlite3_bind_int64(statement, 8, (int64_t)change->streams);
    return put_run(put, PUT_ENTRY, change->key, error);
}

/* A user's first stream in this process: news only if she was not here by another one, nor left
 * within the grace. */
static enum store_result
put_user(struct presence_put *put, const char *user, struct error *error)
{
    enum store_result result = put_run(put, PUT_USER, user, error);
    if (result != STORE_OK)
        return result;
    if (sqlite3_changes(store_connection(put->table->store)) > 0)
        return tell(put->table, "join", user, error);
    return put_run(put, PUT_BACK, user, error);
}

enum store_result
presence_put(struct presence_put *put, const struct here_change *change,
             struct error *error)
{
    enum store_result result;
    if (change->streams > 0) {
        result = put_entry(put, change, error);
        return result == STORE_OK && change->user != NULL && change->is_new
                   ? put_user(put, change->user, error)
                   : result;
    }
    store_bind_text(put->statements[PUT_AWAY], 3, slice_of(put->table->worker));
    result = put_run(put, PUT_AWAY, change->key, error);
    if (result == STORE_OK && change->user != NULL)
        result = put_run(put, PUT_GONE, change->user, error);
    return result;
}

/* --- those who are gone -------------------------------------------------------------- */

enum store_result
presence_table_look(struct presence_table *table, bool *has_work, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        prepare(table,
                "SELECT EXISTS(SELECT 1 FROM rowcast_presence_worker WHERE until <= ?2) OR "
                "EXISTS(SELECT 1 FROM rowcast_presence_user WHERE gone_at <= ?1)",
                &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, table->now_ms - PRESENCE_GRACE_MS);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *has_work = sqlite3_column_int(statement, 0) != 0;
    else
        result = store_fail(table->store, code, "read who is here", error);
    sqlite3_finalize(statement);
    return result;
}

/* Entries of workers whose lease is over go, some at a time; then these workers. ?1: the name of
 * one that is dead whatever its lease says. */
#define DEAD "(until <= ?2 OR worker = ?1)"
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

#define FIRST_ENTRIES                                                                      \
    "rowcast_presence_entry WHERE worker IN (SELECT worker FROM rowcast_presence_worker "  \
    "WHERE until = 0) ORDER BY worker, reader LIMIT " TEXT_OF(PRESENCE_SWEEP_MAX)

static enum store_result
bury_workers(struct presence_table *table, const char *dead, struct error *error)
{
    static const char *const steps[] = {
        "UPDATE rowcast_presence_worker SET until = 0 WHERE " DEAD,
        /* Those with no other stream than of the dead have been gone since now. */
        "UPDATE rowcast_presence_user SET gone_at = ?2 WHERE gone_at IS NULL AND user IN ("
        "SELECT user FROM (SELECT user FROM " FIRST_ENTRIES ")) AND NOT " IS_HERE,
        "DELETE FROM rowcast_presence_entry WHERE (worker, reader) IN ("
        "SELECT worker, reader FROM " FIRST_ENTRIES ")",
        "DELETE FROM rowcast_presence_worker WHERE until = 0 AND NOT EXISTS("
        "SELECT 1 FROM rowcast_presence_entry AS e "
        "WHERE e.worker = rowcast_presence_worker.worker)",
    };
    enum store_result result = STORE_OK;
    int changes = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && result == STORE_OK; i++) {
        result = run_once(table, steps[i], dead, &changes, error);
        if (i == 0 && changes == 0)
            break; /* none is dead */
    }
    return result;
}

/* The next user whose grace is over, for the caller to free; NULL: none. */
static char *
find_gone(struct presence_table *table, sqlite3_stmt *statement, enum store_result *result,
          struct error *error)
{
    char *user = NULL;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        user = strdup((const char *)sqlite3_column_text(statement, 0));
        if (user == NULL) {
            error_set(error, "out of memory");
            *result = STORE_FAILED;
        }
    } else if (code != SQLITE_DONE) {
        *result = store_fail(table->store, code, "read who is gone", error);
    }
    sqlite3_reset(statement);
    return user;
}

static enum store_result
forget_gone(struct presence_table *table, const char *user, struct error *error)
{
    int changes;
    enum store_result result = run_once(
        table, "DELETE FROM rowcast_presence_user WHERE user = ?1", user, &changes, error);
    return result == STORE_OK ? tell(table, "leave", user, error) : result;
}

static enum store_result
tell_gone(struct presence_table *table, struct error *error)
{
    enum store_result result;
    char *user = NULL;
    sqlite3_stmt *statement =
        prepare(table,
                "SELECT user FROM rowcast_presence_user WHERE gone_at <= ?1 "
                "ORDER BY gone_at LIMIT 1",
                &result, error);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, table->now_ms - PRESENCE_GRACE_MS);
    for (int i = 0; i < PRESENCE_SWEEP_MAX && result == STORE_OK; i++) {
        user = find_gone(table, statement, &result, error);
        if (user == NULL)
            break;
        result = forget_gone(table, user, error);
        free(user);
    }
    sqlite3_finalize(statement);
    return result;
}

enum store_result
presence_table_sweep(struct presence_table *table, const char *dead, struct error *error)
{
    enum store_result result = bury_workers(table, dead, error);
    return result == STORE_OK ? tell_gone(table, error) : result;
}
