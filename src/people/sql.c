/* sql.c - whether the database has a table; see people/internal.h. */
#include "config.h"

#include "people/internal.h"

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
    store_bind_text(statement, 1, slice_of(name));
    int code = sqlite3_step(statement);
    *has = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "read the schema", error);
    sqlite3_finalize(statement);
    return result;
}
