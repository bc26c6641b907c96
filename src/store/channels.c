/* channels.c - which channels the table has, for `rowcast channels`. Reads every row's channel
 * once, from the index where there is one; for a person who asks, not for the loop. */
#include "config.h"

#include "store/internal.h"

static char *
channels_text(const struct store *store)
{
    return store->has[COLUMN_CHANNEL]
               ? sqlite3_mprintf(
                     "SELECT \"channel\", count(*), max(\"id\") FROM \"%w\" GROUP BY "
                     "\"channel\" ORDER BY \"channel\"",
                     store->table)
               : sqlite3_mprintf(
                     "SELECT 'default', count(*), max(\"id\") FROM \"%w\" HAVING "
                     "count(*) > 0",
                     store->table);
}

enum store_result
store_read_channels(struct store *store, store_channel_fn take, void *arg,
                    struct error *error)
{
    enum store_result result;
    char *sql = channels_text(store);
    int code;

    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "read the channels", error);
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    sqlite3_free(sql);
    if (result != STORE_OK)
        return result;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        struct store_channel channel = {.name = slice_of(name != NULL ? name : ""),
                                        .rows = sqlite3_column_int64(statement, 1),
                                        .last_id = sqlite3_column_int64(statement, 2)};
        take(arg, &channel);
    }
    if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the channels", error);
    sqlite3_finalize(statement);
    return result;
}

const char *
store_library_version(void)
{
    return sqlite3_libversion();
}
