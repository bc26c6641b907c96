/* marks.c - what the table remembers of its whole history; see struct store_marks.
 *
 * One statement, so that all of them are of one snapshot. store/read_log.c and store/gap.c judge by
 * them what a reader has missed. */
#include "config.h"

#include "store/internal.h"

#include <string.h>

static int64_t
max_id(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The columns of marks_text in store/sql.c. */
enum {
    MARK_BASE,
    MARK_LOW_WATER,
    MARK_LOWEST,
    MARK_HIGHEST,
    MARK_SEQUENCE,
    MARK_FIRST_TYPE,
    MARK_LAST_TYPE
};

static void
take_marks(const struct store *store, sqlite3_stmt *statement, struct store_marks *marks)
{
    int64_t tail = sqlite3_column_int64(statement, MARK_BASE); /* NULL reads as 0 */

    marks->base = tail;
    marks->low_water = sqlite3_column_int64(statement, MARK_LOW_WATER);
    tail = max_id(tail, marks->low_water);
    tail = max_id(tail, sqlite3_column_int64(statement, MARK_HIGHEST));
    marks->sequence = sqlite3_column_int64(statement, MARK_SEQUENCE);
    tail = max_id(tail, marks->sequence);
    marks->tail = tail < ROW_ID_MAX ? tail : ROW_ID_MAX;

    if (sqlite3_column_type(statement, MARK_LOWEST) == SQLITE_NULL)
        marks->lowest = marks->tail + 1;
    else
        marks->lowest = sqlite3_column_int64(statement, MARK_LOWEST);
    if (store->foreign)
        marks->low_water = marks->lowest - 1;
}

bool
store_ids_are_new(const struct store_marks *marks)
{
    return marks->base == 0 ||
           (marks->sequence >= marks->base && marks->sequence >= marks->low_water);
}

/* Rows of a foreign table whose ids are no integers reach no reader: texts such as UUIDs have no
 * order in time, and NULL is no place to resume from. */
static bool
has_other_ids(sqlite3_stmt *statement, const char **type)
{
    for (int column = MARK_FIRST_TYPE; column <= MARK_LAST_TYPE; column++) {
        *type = (const char *)sqlite3_column_text(statement, column);
        if (*type != NULL && strcmp(*type, "integer") != 0)
            return true;
    }
    return false;
}

enum store_result
store_read_marks(struct store *store, struct store_marks *marks, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_MARKS, &result, error);

    *marks = (struct store_marks){0};
    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    const char *type;
    if (code == SQLITE_ROW && has_other_ids(statement, &type)) {
        error_set(
            error,
            "%s: table %s has an id that is no integer (%s), and such a row could reach "
            "no reader: give a table or view whose ids are integers that grow",
            store->path, store->table, type);
        result = STORE_FAILED;
    } else if (code == SQLITE_ROW) {
        take_marks(store, statement, marks);
    } else if (code == SQLITE_DONE) {
        error_set(error,
                  "%s: rowcast_meta has lost its row for table %s: repair it with "
                  "`rowcast init --db %s`",
                  store->path, store->table, store->path);
        result = STORE_FAILED;
    } else {
        result = store_fail(store, code, "read the marks", error);
    }
    sqlite3_reset(statement);
    return result;
}
