/* model.c - the schema as it should be, beside the table as it is.
 *
 * A program that changes the table may take its indexes and triggers away: object mappers and
 * migration tools copy the rows to a new table, drop the old one and rename the new one, and what
 * belonged to the old one is gone. Without the triggers ids may go back and deletions are not
 * noted. So store/store.c compares at each open and whenever the database's schema has changed, and
 * store/schema.c makes again what is missing (`rowcast init`), store/rebuild.c the table itself.
 *
 * The model is a database in memory, made by the same sql/schema.sql, so that no list of objects
 * is kept anywhere. Texts are compared without white space, comments, quotes of names and case:
 * tools that make an index again spell it in their own way. */
#include "config.h"

#include "store/internal.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/sql_text.h"
#include "schema_sql.h"

/* --- the text ------------------------------------------------------------------------ */

/* Appends the SQL with the word for the table replaced, as sql/schema.sql describes. */
static void
append_renamed(struct buf *buf, struct slice sql, const char *table)
{
    static const char word[] = STORE_DEFAULT_TABLE;
    const size_t word_len = sizeof word - 1;
    const char *end = sql.p + sql.len;

    for (const char *p = sql.p; p < end;) {
        const char *start = p;
        while (p < end && sql_is_word_byte(*p))
            p++;
        size_t len = (size_t)(p - start);
        if (len >= word_len && memcmp(start, word, word_len) == 0 &&
            (len == word_len || start[word_len] == '_')) {
            buf_append_text(buf, table);
            start += word_len;
        }
        if (p < end && p == start)
            p++; /* no word byte: as it is */
        buf_append(buf, start, (size_t)(p - start));
    }
}

struct slice
store_schema_text(void)
{
    const char *begin = strstr(schema_sql, "-- rowcast:begin\n");
    const char *end = strstr(schema_sql, "-- rowcast:end\n");

    if (begin == NULL || end == NULL || end < begin)
        return slice_of("");
    return (struct slice){begin, (size_t)(end - begin)};
}

/* The result of sqlite3_exec on `db` for the SQL with the table's name in it. */
static int
exec_renamed(sqlite3 *db, struct slice sql, const char *table)
{
    struct buf buf = {0};

    append_renamed(&buf, sql, table);
    buf_append(&buf, "", 1);
    int code = buf.failed ? SQLITE_NOMEM : sqlite3_exec(db, buf.p, NULL, NULL, NULL);
    buf_fini(&buf);
    return code;
}

enum store_result
store_execute_renamed(struct store *store, struct slice sql, const char *table,
                      struct error *error)
{
    int code = exec_renamed(store->db, sql, table);

    return code == SQLITE_OK
               ? STORE_OK
               : store_fail(store, code, "create or migrate the table", error);
}

/* --- comparing ----------------------------------------------------------------------- */

/* To the next byte that says something. */
static const char *
skip_form(const char *p)
{
    p = sql_skip_space(p);
    while (*p != '\0' && strchr("\"`[]", *p) != NULL)
        p = sql_skip_space(p + 1);
    return p;
}

static bool
is_same_sql(const char *a, const char *b)
{
    for (a = skip_form(a), b = skip_form(b); *a != '\0' && *b != '\0';
         a = skip_form(a + 1), b = skip_form(b + 1)) {
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    }
    return *a == *b;
}

/* Makes object->state from what the database has under the name. A table or view need only be
 * there: whatever its text is, it is not made again. */
static enum store_result
find_object(struct store *store, struct store_object *object, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_prepare_once(
        store,
        "SELECT sql FROM sqlite_master WHERE type = ?1 AND name = ?2 COLLATE NOCASE "
        "AND tbl_name = ?3 COLLATE NOCASE",
        &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, object->type, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, object->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, object->table, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    const char *sql =
        code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "read the schema", error);
    else if (sql == NULL)
        object->state = STORE_OBJECT_MISSING;
    else if (strcmp(object->type, "table") == 0 || strcmp(object->type, "view") == 0 ||
             is_same_sql(sql, object->sql))
        object->state = STORE_OBJECT_SAME;
    else
        object->state = STORE_OBJECT_OTHER;
    sqlite3_finalize(statement);
    return result;
}

/* The model's objects, one after the other; its rows are valid until the next step. */
static enum store_result
compare_with(struct store *store, sqlite3_stmt *model, store_object_fn fn, void *arg,
             struct error *error)
{
    enum store_result result = STORE_OK;
    int code = SQLITE_DONE;

    while (result == STORE_OK && (code = sqlite3_step(model)) == SQLITE_ROW) {
        struct store_object object = {.type = (const char *)sqlite3_column_text(model, 0),
                                      .name = (const char *)sqlite3_column_text(model, 1),
                                      .sql = (const char *)sqlite3_column_text(model, 2),
                                      .table = (const char *)sqlite3_column_text(model, 3)};
        if (object.type == NULL || object.name == NULL || object.sql == NULL ||
            object.table == NULL)
            return store_fail(store, SQLITE_NOMEM, "read the schema", error);
        result = find_object(store, &object, error);
        if (result == STORE_OK && object.state != STORE_OBJECT_SAME)
            result = fn(arg, &object, error);
    }
    if (result == STORE_OK && code != SQLITE_DONE)
        return store_fail(store, SQLITE_NOMEM, "read the schema", error);
    return result;
}

enum store_result
store_compare_objects(struct store *store, store_object_fn fn, void *arg,
                      struct error *error)
{
    /* Tables come before their indexes and triggers. The table of notifications itself and
     * rowcast_meta are the caller's, who has found them. */
    static const char objects_sql[] =
        "SELECT type, name, sql, tbl_name FROM sqlite_master WHERE sql IS NOT NULL AND "
        "(type IN ('index', 'trigger') OR (name LIKE 'rowcast_%' AND name <> "
        "'rowcast_meta')) "
        "ORDER BY type IN ('index', 'trigger'), name";
    sqlite3 *db = NULL;
    sqlite3_stmt *objects = NULL;
    enum store_result result;

    int code =
        sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = exec_renamed(db, store_schema_text(), store->table);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, objects_sql, -1, &objects, NULL);
    if (code == SQLITE_OK)
        result = compare_with(store, objects, fn, arg, error);
    else /* nothing but memory stands in its way */
        result = store_fail(store, SQLITE_NOMEM, "read the schema", error);
    sqlite3_finalize(objects);
    sqlite3_close(db);
    return result;
}

/* --- the table itself ---------------------------------------------------------------- */

enum store_result
store_table_is_whole(struct store *store, bool *whole, struct error *error)
{
    static const char sql[] =
        "SELECT (SELECT sql LIKE '%autoincrement%' FROM sqlite_master "
        "        WHERE type = 'table' AND name = ?1) "
        "AND (SELECT count(*) = 8 FROM pragma_table_xinfo(?1) WHERE lower(name) IN ('id', "
        "     'channel', 'recipient', 'event', 'collapse_key', 'created_at', 'expires_at', "
        "     'data')) "
        "AND (SELECT count(*) = 2 FROM pragma_table_xinfo(?1) WHERE lower(name) IN "
        "     ('channel', 'created_at') AND dflt_value IS NOT NULL)";
    int64_t number = 0;

    enum store_result result = store_ask_number(store, sql, store->table, &number, error);
    *whole = number != 0;
    return result;
}

struct slice
store_table_text(void)
{
    const char *begin = strstr(schema_sql, "CREATE TABLE \"notification\"(");
    const char *end = begin != NULL ? strstr(begin, "\n);\n") : NULL;

    if (end == NULL)
        return slice_of("");
    return (struct slice){begin, (size_t)(end - begin) + sizeof "\n);" - 1};
}
