/* time.c - the place in the log of a point in time, for since=AGE; see store_find_time.
 *
 * Called by hub/resume.c and cmd/tail.c. Bisection over ids: created_at has no index, and wants
 * none, as it grows with id except for steps of the clock. */
#include "config.h"

#include "store/internal.h"

struct found {
    bool any;
    int64_t id;
    int64_t created_at;
};

static enum store_result
first_above(struct store *store, int64_t id, int64_t now_ms, struct found *found,
            struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_FIRST_ABOVE, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, now_ms);
    int code = sqlite3_step(statement);
    found->any = code == SQLITE_ROW;
    if (found->any) {
        found->id = sqlite3_column_int64(statement, 0);
        found->created_at = store_take_time(sqlite3_column_value(statement, 1));
    } else if (code != SQLITE_DONE) {
        result = store_fail(store, code, "read the times", error);
    }
    sqlite3_reset(statement);
    return result;
}

/* For a statement that gives one id, or NULL. *before: the id before that one; stays for NULL. */
static enum store_result
step_to_before(struct store *store, sqlite3_stmt *statement, int64_t *before,
               struct error *error)
{
    enum store_result result = STORE_OK;
    int code = sqlite3_step(statement);

    if (code != SQLITE_ROW)
        result = store_fail(store, code, "read the times", error);
    else if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *before = sqlite3_column_int64(statement, 0) - 1;
    sqlite3_reset(statement);
    return result;
}

/* A row dated too early, in the midst of fresh ones, leads the bisection behind these: looks
 * back over some rows. *low: the id before the first fresh one of them; stays when none is. */
static enum store_result
step_back(struct store *store, const struct store_time *time, int64_t *low,
          struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_FRESH_UP_TO, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, *low);
    sqlite3_bind_int64(statement, 2, time->created_at_ms);
    sqlite3_bind_int64(statement, 3, time->now_ms);
    return step_to_before(store, statement, low, error);
}

/* *before: the id before the first row above `id`; stays when there is none. */
static enum store_result
id_above(struct store *store, int64_t id, int64_t *before, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ID_ABOVE, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, id);
    return step_to_before(store, statement, before, error);
}

enum store_result
store_find_time(struct store *store, const struct store_time *time, int64_t *cursor,
                struct error *error)
{
    struct store_marks marks;
    struct found found = {0};
    enum store_result result = store_read_marks(store, &marks, error);

    if (result != STORE_OK)
        return result;
    *cursor = marks.tail;
    if (!store->has[COLUMN_CREATED_AT] || marks.lowest > marks.tail)
        return STORE_OK;

    /* Up to `low` every row is too old, above `high` none is. */
    int64_t low = marks.lowest - 1;
    int64_t high = marks.tail;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        result = first_above(store, middle, time->now_ms, &found, error);
        if (result != STORE_OK)
            return result;
        if (found.any && found.created_at < time->created_at_ms)
            low = found.id;
        else
            high = middle;
    }
    result = step_back(store, time, &low, error);
    if (result != STORE_OK)
        return result;
    /* Right before the next row: a reader gets no gap event between the two. */
    return id_above(store, low, cursor, error);
}
