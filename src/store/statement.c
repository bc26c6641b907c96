/* statement.c - prepares statements, keeps them and runs them.
 *
 * All files of the store ask for statements here, and store/connection.h gives others the calls for
 * a statement of their own. Those of store/sql.c are prepared when they are first needed and kept
 * until the database is closed or its table has changed; SQLite prepares one again by itself when
 * the schema changes. */
#include "config.h"

#include "store/internal.h"

#include <string.h>

/* Takes over `sql`, which may be NULL (out of memory). */
static sqlite3_stmt *
prepare_take(struct store *store, char *sql, enum store_result *result, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int code = SQLITE_NOMEM;

    if (sql != NULL)
        code = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement,
                                  NULL);
    *result = STORE_OK;
    if (code != SQLITE_OK)
        *result = store_fail(store, code, "read the schema", error);
    sqlite3_free(sql);
    return statement;
}

sqlite3_stmt *
store_statement(struct store *store, enum store_statement which, enum store_result *result,
                struct error *error)
{
    *result = STORE_OK;
    if (store->statements[which] == NULL)
        store->statements[which] =
            prepare_take(store, store_statement_text(store, which), result, error);
    return store->statements[which];
}

sqlite3_stmt *
store_read_statement(struct store *store, enum store_reading reading, unsigned way,
                     enum store_result *result, struct error *error)
{
    sqlite3_stmt **slot = &store->reads[reading][way];

    *result = STORE_OK;
    if (*slot == NULL)
        *slot = prepare_take(store, store_read_text(store, reading, way), result, error);
    return *slot;
}

sqlite3_stmt *
store_prepare_once(struct store *store, const char *sql, enum store_result *result,
                   struct error *error)
{
    return prepare_take(store, sqlite3_mprintf("%s", sql), result, error);
}

enum store_result
store_ask_number(struct store *store, const char *sql, const char *text, int64_t *number,
                 struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);

    if (result != STORE_OK)
        return result;
    if (text != NULL)
        sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the schema", error);
    sqlite3_finalize(statement);
    return result;
}

enum store_result
store_execute(struct store *store, const char *sql, const char *doing, struct error *error)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? STORE_OK : store_fail(store, code, doing, error);
}

void
store_finalize_all(struct store *store)
{
    for (int i = 0; i < STORE_STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    for (int reading = 0; reading < STORE_READINGS; reading++) {
        for (int way = 0; way < STORE_WAYS; way++) {
            sqlite3_finalize(store->reads[reading][way]);
            store->reads[reading][way] = NULL;
        }
    }
}

enum store_result
store_find_key_index(struct store *store, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *plan;
    int code;

    store->can_collapse = false;
    if (!store->has[COLUMN_COLLAPSE_KEY])
        return STORE_OK;
    plan = prepare_take(store, store_newer_plan_text(store), &result, error);
    if (result != STORE_OK)
        return result;
    while ((code = sqlite3_step(plan)) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        if (detail != NULL && strstr(detail, "SEARCH") != NULL &&
            strstr(detail, "collapse_key=?") != NULL)
            store->can_collapse = true;
    }
    if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the schema", error);
    sqlite3_finalize(plan);
    return result;
}

void
store_bind_text(sqlite3_stmt *statement, int parameter, struct slice text)
{
    if (text.p == NULL)
        sqlite3_bind_null(statement, parameter);
    else
        sqlite3_bind_text64(statement, parameter, text.p, text.len, SQLITE_STATIC,
                            SQLITE_UTF8);
}

enum store_result
store_run(struct store *store, sqlite3_stmt *statement, const char *doing,
          struct error *error)
{
    enum store_result result = STORE_OK;
    int code = sqlite3_step(statement);

    if (code != SQLITE_DONE && code != SQLITE_ROW)
        result = store_fail(store, code, doing, error);
    sqlite3_reset(statement);
    return result;
}
