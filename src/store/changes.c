/* changes.c - has the database changed since the last look, and is the table still what it was?
 *
 * feed/feed.c asks on each wake-up, so the answer is cheap: a word of the WAL's index in memory
 * (store/wal_index.c), or PRAGMA data_version. A schema that another program has changed is seen by
 * its cookie, within the read that would otherwise meet it. */
#include "config.h"

#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

/* A value that PRAGMA schema_version never has: it has 32 bits. */
#define SCHEMA_UNKNOWN INT64_MIN

/* Looks again what the table is. If it is gone, or of another kind, that is a fault: rows that can
 * be read still are. */
static enum store_result
learn_again(struct store *store, struct error *error)
{
    struct error found = {""};
    char *table = strdup(store->table);

    if (table == NULL)
        return store_fail(store, SQLITE_NOMEM, "read the schema", error);
    store_finalize_all(store);
    enum store_result result = store_open_table(store, table, &found);
    free(table);
    if (result == STORE_FAILED)
        store->fault = found;
    if (result != STORE_BUSY)
        return STORE_OK;
    store->schema_cookie =
        SCHEMA_UNKNOWN; /* what was known is cleared: again, in any case */
    error_set(error, "%s", found.text);
    return STORE_BUSY;
}

/* Sets *number to the result of a statement without parameters. */
static enum store_result
ask_statement(struct store *store, enum store_statement which, int64_t *number,
              struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, which, &result, error);

    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else
        result = store_fail(store, code, "see whether it has changed", error);
    sqlite3_reset(statement);
    return result;
}

enum store_result
store_schema_is_known(struct store *store, bool *is_known, struct error *error)
{
    int64_t cookie = store->schema_cookie;
    enum store_result result =
        ask_statement(store, STATEMENT_SCHEMA_COOKIE, &cookie, error);

    *is_known = cookie == store->schema_cookie;
    return result;
}

enum store_result
store_follow_schema(struct store *store, struct error *error)
{
    int64_t cookie = store->schema_cookie;
    enum store_result result =
        ask_statement(store, STATEMENT_SCHEMA_COOKIE, &cookie, error);

    if (result != STORE_OK || (cookie == store->schema_cookie && !store->must_look))
        return result;
    store_end_read(store); /* its statements belong to the old schema */
    result = learn_again(store, error);
    if (result != STORE_OK)
        return result;
    store->must_look = false;
    return store_begin_read(store, error);
}

enum store_result
store_begin_snapshot(struct store *store, struct error *error)
{
    enum store_result result = store_begin_read(store, error);
    return result == STORE_OK ? store_follow_schema(store, error) : result;
}

int64_t
store_schema(const struct store *store)
{
    return store->schema_cookie;
}

static enum store_result
data_version_changed(struct store *store, bool *changed, struct error *error)
{
    int64_t version = -1;
    enum store_result result =
        ask_statement(store, STATEMENT_DATA_VERSION, &version, error);

    *changed = result == STORE_OK && version != store->data_version;
    if (*changed) {
        store->data_version = version;
        store_find_wal_index(store); /* it may have become a WAL database */
    }
    return result;
}

enum store_result
store_changed(struct store *store, bool *changed, struct error *error)
{
    enum store_result result = STORE_OK;

    if (store->wal_index != NULL)
        *changed = store_wal_index_changed(store);
    else
        result = data_version_changed(store, changed, error);
    if (*changed && store_fault(store) != NULL)
        store->must_look = true;
    return result;
}
