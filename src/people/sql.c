/* sql.c - small helpers around SQLite's statements; see people/internal.h. */
#include "config.h"

#include "people/internal.h"

enum store_result
people_run(struct store *store, sqlite3_stmt *statement, const char *doing,
           struct error *error)
{
    enum store_result result = STORE_OK;
    int code = sqlite3_step(statement);

    if (code != SQLITE_DONE && code != SQLITE_ROW)
        result = store_fail(store, code, doing, error);
    sqlite3_reset(statement);
    return result;
}

void
people_bind(sqlite3_stmt *statement, int parameter, struct slice text)
{
    if (text.p == NULL)
        sqlite3_bind_null(statement, parameter);
    else
        sqlite3_bind_text64(statement, parameter, text.p, text.len, SQLITE_STATIC,
                            SQLITE_UTF8);
}

enum store_result
people_has_table(struct store *store, const char *name, bool *has, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", &result,
        error);

    *has = false;
    if (result != STORE_OK)
        return result;
    people_bind(statement, 1, slice_of(name));
    int code = sqlite3_step(statement);
    *has = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "read the schema", error);
    sqlite3_finalize(statement);
    return result;
}
