/* revocation_table.c - the SQL of rowcast_revocation; see people/revocation_table.h. */
#include "config.h"

#include "people/revocation_table.h"

#include "people/internal.h"

#define TABLE "rowcast_revocation"

/* --- reading ------------------------------------------------------------------------- */

static struct slice
column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (struct slice){text, (size_t)sqlite3_column_bytes(statement, column)};
}

static enum store_result
read_rows(struct store *store, const struct revocation_range *range, int *count,
          struct error *error)
{
    enum store_result result;
    int code;
    sqlite3_stmt *statement = store_prepare_once(
        store, "SELECT id, user, before FROM " TABLE " WHERE id > ?1 ORDER BY id LIMIT ?2",
        &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, range->after);
    sqlite3_bind_int(statement, 2, range->most);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct revocation row = {.id = sqlite3_column_int64(statement, 0),
                                 .user = column_text(statement, 1),
                                 .before_ms = sqlite3_column_int64(statement, 2)};
        range->take(range->arg, &row);
        ++*count;
    }
    if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the revocations", error);
    sqlite3_finalize(statement);
    return result;
}

enum store_result
revocation_table_read(struct store *store, const struct revocation_range *range, int *count,
                      struct error *error)
{
    bool has = false;

    *count = 0;
    enum store_result result = store_begin_read(store, error);
    if (result == STORE_OK)
        result = people_has_table(store, TABLE, &has, error);
    if (result == STORE_OK && has)
        result = read_rows(store, range, count, error);
    store_end_read(store);
    return result;
}

/* --- writing ------------------------------------------------------------------------- */

static enum store_result
write_row(struct store *store, struct slice user, int64_t before_ms, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store, "INSERT INTO " TABLE "(user, before) VALUES (?1, ?2)", &result, error);

    if (result != STORE_OK)
        return result;
    store_bind_text(statement, 1, user);
    sqlite3_bind_int64(statement, 2, before_ms);
    result = store_run(store, statement, "write the revocation", error);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
delete_rows(struct store *store, int64_t before_ms, int64_t *count, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store, "DELETE FROM " TABLE " WHERE before < ?1", &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, before_ms);
    result = store_run(store, statement, "delete old revocations", error);
    *count = sqlite3_changes(store_connection(store));
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
begin(struct store *store, struct error *error)
{
    bool has = false;
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = people_has_table(store, TABLE, &has, error);
    if (result != STORE_OK || has)
        return result;
    error_set(error, "%s has no table " TABLE ": run `rowcast init --db %s`",
              store_path(store), store_path(store));
    return STORE_FAILED;
}

static enum store_result
end(struct store *store, enum store_result result, struct error *error)
{
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

enum store_result
revocation_table_add(struct store *store, struct slice user, int64_t before_ms,
                     struct error *error)
{
    enum store_result result = begin(store, error);

    if (result == STORE_OK)
        result = write_row(store, user, before_ms, error);
    return end(store, result, error);
}

enum store_result
revocation_table_forget(struct store *store, int64_t before_ms, int64_t *count,
                        struct error *error)
{
    enum store_result result = begin(store, error);

    if (result == STORE_OK)
        result = delete_rows(store, before_ms, count, error);
    return end(store, result, error);
}
