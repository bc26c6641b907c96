/* rows.c - reads rows: a range upwards or downwards, the marks, a point in time.
 *
 * A range is read with one statement that is reset before the function returns, so that no read
 * transaction outlives it (unless the caller began one): a reader that stays holds checkpoints
 * back. Rows are handed out in place, without a copy. Neither time nor patterns are judged
 * here; that is the caller's, for each reader in its own way. */
#include "config.h"

#include "store/internal.h"

#include <string.h>

/* A table with a span of ids below it is scanned for a time, in a few milliseconds. */
#define SCAN_IDS_MAX 20000

/* --- marks ------------------------------------------------------------------------------------ */

static int64_t
max_id(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The columns of marks_text in store/sql.c. */
enum { MARK_BASE, MARK_LOW_WATER, MARK_LOWEST, MARK_HIGHEST, MARK_SEQUENCE };

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
        marks->low_water = marks->lowest - (marks->lowest > INT64_MIN ? 1 : 0);
}

bool
store_ids_are_new(const struct store_marks *marks)
{
    return marks->base == 0 ||
           (marks->sequence >= marks->base && marks->sequence >= marks->low_water);
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
    if (code == SQLITE_ROW) {
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

/* --- rows ------------------------------------------------------------------------------------- */

/* The calls below are by sqlite3_value, fetched once for each column: each sqlite3_column_ call
 * would look the column up and take the connection's lock anew, which is a fifth of a replay.
 * The connection is used by one thread (SQLITE_OPEN_NOMUTEX), so that is safe
 * (sqlite.org/c3ref/value.html). */

/* The value as bytes: a blob as it is, all else as UTF-8 text, whatever the database's encoding.
 * False when memory ran out. */
static bool
take_bytes(sqlite3_value *value, struct slice *slice)
{
    int type = sqlite3_value_type(value);
    const void *p;

    *slice = (struct slice){0};
    if (type == SQLITE_NULL)
        return true;
    if (type == SQLITE_BLOB)
        p = sqlite3_value_blob(value); /* NULL when it is empty */
    else
        p = sqlite3_value_text(value);
    slice->len = (size_t)sqlite3_value_bytes(value);
    slice->p = p != NULL ? p : "";
    return p != NULL || (type == SQLITE_BLOB && slice->len == 0);
}

/* A time; what is not a number (a foreign table may hold "2025-11-22") is not known. */
static int64_t
take_time(sqlite3_value *value)
{
    int type = sqlite3_value_type(value);

    return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? sqlite3_value_int64(value) : 0;
}

static bool
take_row(const struct store *store, enum store_direction direction, sqlite3_stmt *statement,
         struct row *row)
{
    sqlite3_value *values[STORE_COLUMNS];
    for (int i = 0; i < STORE_COLUMNS; i++)
        values[i] = sqlite3_column_value(statement, i);

    *row = (struct row){.id = sqlite3_value_int64(values[COLUMN_ID]),
                        .created_at = take_time(values[COLUMN_CREATED_AT]),
                        .expires_at = take_time(values[COLUMN_EXPIRES_AT])};
    if (!take_bytes(values[COLUMN_CHANNEL], &row->channel) ||
        !take_bytes(values[COLUMN_RECIPIENT], &row->recipient) ||
        !take_bytes(values[COLUMN_EVENT], &row->event) ||
        !take_bytes(values[COLUMN_COLLAPSE_KEY], &row->collapse_key) ||
        !take_bytes(values[COLUMN_DATA], &row->data))
        return false;
    if (direction == STORE_BACKWARD)
        return true;

    row->data_bytes = row->data.len;
    row->too_large = store->max_event_bytes > 0 && row->data_bytes > store->max_event_bytes;
    if (row->too_large)
        row->data = (struct slice){0};
    else if (row->data.p == NULL) /* NULL in a foreign table: an event without words */
        row->data = slice_of("");
    return true;
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* One pair of channel and recipient that is read through the index. */
struct arm {
    const char *channel;
    const char *recipient; /* NULL: rows for everyone */
};

/* The pairs that make up the filter; 0: there are too many, or it is not exact, or the table has
 * no index of ours, so look at every id. *nothing: the filter lets nothing through. */
static unsigned
find_arms(const struct store *store, const struct filter *filter,
          struct arm arms[STORE_ARMS_MAX], bool *nothing)
{
    unsigned count = 0;

    *nothing = false;
    if (filter == NULL || store->foreign || !filter_is_exact(filter))
        return 0;
    for (size_t i = 0; i < filter->requested.count; i++) {
        const char *channel = filter->requested.items[i];
        if (!filter_bounds_allow(filter, slice_of(channel)))
            continue;
        if (count + 2 > STORE_ARMS_MAX)
            return 0;
        arms[count++] = (struct arm){channel, NULL};
        if (filter->user != NULL)
            arms[count++] = (struct arm){channel, filter->user};
    }
    *nothing = count == 0;
    return count;
}

static void
bind_range(sqlite3_stmt *statement, const struct store_range *range, const struct arm *arms,
           unsigned count)
{
    sqlite3_bind_int64(statement, READ_AFTER, range->after);
    sqlite3_bind_int64(statement, READ_UP_TO, range->up_to);
    sqlite3_bind_int64(statement, READ_LIMIT,
                       range->max_rows > INT32_MAX ? INT32_MAX : (int64_t)range->max_rows);
    sqlite3_bind_int(statement, READ_COLLAPSE, range->collapse ? 1 : 0);
    for (unsigned i = 0; i < count; i++) {
        int parameter = (int)(READ_FIRST_ARM + 2 * i);
        sqlite3_bind_text(statement, parameter, arms[i].channel, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, parameter + 1, arms[i].recipient, -1, SQLITE_STATIC);
    }
}

/* What a walk over the rows of a range came to. */
struct walk {
    enum store_direction direction;
    size_t looked_at;
    bool stopped; /* by fn */
};

static enum store_result
walk_rows(struct store *store, sqlite3_stmt *statement, struct walk *walk, store_row_fn fn,
          void *arg, struct store_progress *progress, struct error *error)
{
    int code;
    struct row row;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!take_row(store, walk->direction, statement, &row))
            return store_fail(store, SQLITE_NOMEM, "read the rows", error);
        walk->looked_at++;
        bool superseded = row.collapse_key.p != NULL &&
                          sqlite3_column_int(statement, COLUMN_SUPERSEDED) != 0;
        if (!superseded && fn(arg, &row) == STORE_STOP)
            walk->stopped = true;
        progress->last = row.id;
        if (walk->stopped)
            return STORE_OK;
    }
    return code == SQLITE_DONE ? STORE_OK : store_fail(store, code, "read the rows", error);
}

static enum store_result
read_rows(struct store *store, enum store_direction direction,
          const struct store_range *range, store_row_fn fn, void *arg,
          struct store_progress *progress, struct error *error)
{
    struct arm arms[STORE_ARMS_MAX];
    struct walk walk = {.direction = direction};
    bool nothing;
    enum store_result result = STORE_OK;
    unsigned count = find_arms(store, range->narrow, arms, &nothing);

    if (!nothing && range->after < range->up_to) {
        sqlite3_stmt *statement =
            store_read_statement(store, direction, count, &result, error);
        if (result != STORE_OK)
            return result;
        bind_range(statement, range, arms, count);
        result = walk_rows(store, statement, &walk, fn, arg, progress, error);
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement); /* they point into the caller's filter */
    }
    progress->complete = result == STORE_OK && !walk.stopped &&
                         (walk.looked_at < range->max_rows || range->after >= range->up_to);
    return result;
}

enum store_result
store_read_range(struct store *store, const struct store_range *range, store_row_fn fn,
                 void *arg, struct store_progress *progress, struct error *error)
{
    *progress = (struct store_progress){.last = range->after};
    enum store_result result =
        read_rows(store, STORE_FORWARD, range, fn, arg, progress, error);
    if (progress->complete && progress->last < range->up_to)
        progress->last = range->up_to;
    return result;
}

enum store_result
store_read_back(struct store *store, const struct store_range *range, store_row_fn fn,
                void *arg, struct store_progress *progress, struct error *error)
{
    *progress = (struct store_progress){.last = range->up_to < INT64_MAX ? range->up_to + 1
                                                                         : INT64_MAX};
    enum store_result result =
        read_rows(store, STORE_BACKWARD, range, fn, arg, progress, error);
    if (progress->complete && progress->last > range->after)
        progress->last = range->after + 1;
    return result;
}

/* --- time ------------------------------------------------------------------------------------- */

struct found {
    bool any;
    int64_t id;
    int64_t created_at;
};

static enum store_result
first_above(struct store *store, int64_t id, struct found *found, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_FIRST_ABOVE, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, id);
    int code = sqlite3_step(statement);
    found->any = code == SQLITE_ROW;
    if (found->any) {
        found->id = sqlite3_column_int64(statement, 0);
        found->created_at = take_time(sqlite3_column_value(statement, 1));
    } else if (code != SQLITE_DONE) {
        result = store_fail(store, code, "read the times", error);
    }
    sqlite3_reset(statement);
    return result;
}

/* Looks at each row in turn: right whatever the clock has done. */
static enum store_result
find_time_by_scan(struct store *store, int64_t created_at_ms, int64_t *cursor,
                  struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_FIRST_SINCE, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, created_at_ms);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *cursor = sqlite3_column_int64(statement, 0) - 1;
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the times", error);
    sqlite3_reset(statement);
    return result;
}

enum store_result
store_find_time(struct store *store, int64_t created_at_ms, int64_t *cursor,
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

    if ((uint64_t)marks.tail - (uint64_t)marks.lowest < SCAN_IDS_MAX)
        return find_time_by_scan(store, created_at_ms, cursor, error);

    /* Up to `low` every row is too old. Above `high` the first row, if there is one, is young
     * enough, and *cursor is the id before it (or still the tail). */
    int64_t low = marks.lowest - 1;
    int64_t high = marks.tail;
    while (low < high) {
        int64_t middle = low + (int64_t)(((uint64_t)high - (uint64_t)low) / 2);
        result = first_above(store, middle, &found, error);
        if (result != STORE_OK)
            return result;
        if (found.any && found.created_at < created_at_ms)
            low = found.id;
        else
            high = middle;
        if (found.any && found.created_at >= created_at_ms)
            *cursor = found.id - 1;
    }
    return STORE_OK;
}
