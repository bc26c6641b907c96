/* rebuild.c - makes the table again in its proper form, for `rowcast init`.
 *
 * Where another program has copied the table and left out AUTOINCREMENT, a column or a default,
 * no index or trigger can make up for it. SQLite cannot add these to a table, so the rows are
 * copied once more, by the procedure of sqlite.org/lang_altertable.html section 7. What the
 * application has added to the table stays: its columns, indexes and triggers. The ids stay as
 * they are. */
#include "config.h"

#include "store/internal.h"

#include "base/buf.h"

#define NEW_SUFFIX "_rowcast_new"

static enum store_result
append_texts(struct store *store, const char *sql, struct buf *buf, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(store, sql, &result, error);
    int code;

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, store->table, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        buf_append_text(buf, text != NULL ? text : "");
    }
    if (code != SQLITE_DONE || buf->failed)
        result =
            store_fail(store, buf->failed ? SQLITE_NOMEM : code, "read the schema", error);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
make_new_table(struct store *store, const char *name, struct error *error)
{
    /* format()'s %w doubles the quotes in a name. */
    static const char columns[] =
        "SELECT printf('ALTER TABLE \"%w" NEW_SUFFIX
        "\" ADD COLUMN \"%w\" %s%s%s;', ?1, name, "
        "type, CASE WHEN \"notnull\" THEN ' NOT NULL' ELSE '' END, "
        "coalesce(' DEFAULT (' || dflt_value || ')', '')) "
        "FROM pragma_table_xinfo(?1) WHERE hidden = 0 AND lower(name) NOT IN ('id', "
        "'channel', "
        "'recipient', 'event', 'collapse_key', 'created_at', 'expires_at', 'data')";
    struct buf sql = {0};

    enum store_result result =
        store_execute_renamed(store, store_table_text(), name, error);
    if (result == STORE_OK)
        result = append_texts(store, columns, &sql, error);
    buf_append(&sql, "", 1);
    if (result == STORE_OK)
        result = sql.failed ? store_fail(store, SQLITE_NOMEM, "repair the table", error)
                            : store_execute(store, sql.p, "repair the table", error);
    buf_fini(&sql);
    return result;
}

/* A value that the table may not have (NULL, where its copy forgot NOT NULL) takes the default. */
static enum store_result
copy_rows(struct store *store, struct error *error)
{
    static const char columns[] =
        "SELECT group_concat(printf('\"%w\"', name), ', ') FROM pragma_table_xinfo(?1) "
        "WHERE hidden = 0";
    struct buf names = {0};

    enum store_result result = append_texts(store, columns, &names, error);
    buf_append(&names, "", 1);
    char *sql = names.failed || result != STORE_OK
                    ? NULL
                    : sqlite3_mprintf("INSERT OR REPLACE INTO \"%w" NEW_SUFFIX
                                      "\"(%s) SELECT %s FROM \"%w\" ORDER BY id",
                                      store->table, names.p, names.p, store->table);
    if (result == STORE_OK)
        result = sql != NULL ? store_execute(store, sql, "copy the rows", error)
                             : store_fail(store, SQLITE_NOMEM, "copy the rows", error);
    sqlite3_free(sql);
    buf_fini(&names);
    return result;
}

static enum store_result
put_in_place(struct store *store, struct error *error)
{
    char *sql = sqlite3_mprintf("DROP TABLE \"%w\"; "
                                "ALTER TABLE \"%w" NEW_SUFFIX "\" RENAME TO \"%w\"",
                                store->table, store->table, store->table);

    if (sql == NULL)
        return store_fail(store, SQLITE_NOMEM, "repair the table", error);
    enum store_result result = store_execute(store, sql, "repair the table", error);
    sqlite3_free(sql);
    return result;
}

enum store_result
store_rebuild_table(struct store *store, struct error *error)
{
    struct buf objects = {0};
    char *name = sqlite3_mprintf("%s" NEW_SUFFIX, store->table);

    if (name == NULL)
        return store_fail(store, SQLITE_NOMEM, "repair the table", error);
    enum store_result result =
        append_texts(store,
                     "SELECT sql || ';' FROM sqlite_master WHERE tbl_name = ?1 "
                     "AND type IN ('index', 'trigger') AND sql IS NOT NULL",
                     &objects, error);
    buf_append(&objects, "", 1);
    if (result == STORE_OK)
        result = make_new_table(store, name, error);
    if (result == STORE_OK)
        result = copy_rows(store, error);
    /* Views and triggers that name the table are left as they are: they mean the new one. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 1, NULL);
    if (result == STORE_OK)
        result = put_in_place(store, error);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 0, NULL);
    if (result == STORE_OK)
        result = store_execute(store, objects.p, "repair the table", error);
    buf_fini(&objects);
    sqlite3_free(name);
    return result;
}
