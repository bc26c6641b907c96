/* rows.c - reads rows: a range upwards or downwards.
 *
 * A range is read with one statement that is reset before the function returns, so that no read
 * transaction outlives it (unless the caller began one): a reader that stays holds checkpoints
 * back. Rows are handed out in place, without a copy. Neither time nor patterns are judged
 * here; that is the caller's, for each reader in its own way. */
#include "config.h"

#include "store/internal.h"

#include <limits.h>
#include <time.h>

/* --- a walk over rows ---------------------------------------------------------------- */

/* The clock is read after so many rows: that costs about as much as a row. */
#define CLOCK_ROWS 16

/* Data that is larger than both is not read into memory. SQLite's own bound on a value is used:
 * it is looked at before the pages are, and costs nothing. UTF-16 has two bytes where UTF-8 has
 * one. */
#define LENGTH_MIN (1024 * 1024)
#define LENGTH_PER_BYTE 2

/* One pair of channel and recipient that is read through the index. */
struct arm {
    const char *channel;
    const char *recipient; /* NULL: rows for everyone */
};

/* A walk over the rows of a range. */
struct store_walk {
    const struct store_range *range;
    struct store_progress *progress;
    enum store_reading reading;
    unsigned way;
    struct arm arms[STORE_ARMS_MAX];
    size_t looked_at;
    int64_t last; /* by the filter's function: the row that it was asked about */
    bool is_over; /* max_rows or the time are used up */
    bool stopped; /* by range->row */
};

static uint64_t
clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Whether the walk must end before another row. */
static bool
walk_is_over(struct store_walk *walk)
{
    const struct store_range *range = walk->range;

    if (walk->looked_at >= range->max_rows)
        walk->is_over = true;
    else if (range->until_ns != 0 && walk->looked_at > 0 &&
             walk->looked_at % CLOCK_ROWS == 0 && clock_ns() > range->until_ns)
        walk->is_over = true;
    return walk->is_over;
}

/* rowcast_wants(id, channel, recipient) in a statement's WHERE. So of a row that is not for the
 * filter nothing else is read. When the walk is over it lets a row through, so that the
 * statement comes back with it, and walk_rows ends there without that row. */
static void
wants_row(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct store *store = sqlite3_user_data(context);
    struct store_walk *walk = store->walk;
    struct row row = {0};

    (void)count;
    if (walk == NULL || walk_is_over(walk)) {
        sqlite3_result_int(context, 1);
        return;
    }
    walk->last = sqlite3_value_int64(values[0]);
    walk->looked_at++;
    row.id = walk->last;
    if (!store_take_bytes(values[1], &row.channel) ||
        !store_take_bytes(values[2], &row.recipient))
        sqlite3_result_error_nomem(context);
    else if (walk->range->wants != NULL)
        sqlite3_result_int(context, walk->range->wants(walk->range->arg, &row));
    else
        sqlite3_result_int(context,
                           filter_matches(walk->range->narrow, row.channel, row.recipient));
}

enum store_result
store_prepare_reading(struct store *store, struct error *error)
{
    int code = sqlite3_create_function_v2(store->db, "rowcast_wants", 3,
                                          SQLITE_UTF8 | SQLITE_DIRECTONLY, store, wants_row,
                                          NULL, NULL, NULL);

    if (code != SQLITE_OK)
        return store_fail(store, code, "open it", error);
    if (store->mode != STORE_WRITE && store->max_event_bytes > 0 &&
        store->max_event_bytes < INT_MAX / LENGTH_PER_BYTE) {
        int bound = (int)store->max_event_bytes * LENGTH_PER_BYTE;
        sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH,
                      bound > LENGTH_MIN ? bound : LENGTH_MIN);
    }
    return STORE_OK;
}

/* Sets the way, with the pairs that make up an exact filter of not too many. False: the filter
 * lets nothing through. */
static bool
find_way(const struct store *store, struct store_walk *walk)
{
    const struct filter *filter = walk->range->narrow;
    unsigned count = 0;

    walk->way = filter == NULL ? STORE_BY_ID : STORE_BY_FILTER;
    if (filter == NULL || store->foreign || !filter_is_exact(filter))
        return true;
    for (size_t i = 0; i < filter->requested.count; i++) {
        const char *channel = filter->requested.items[i];
        if (!filter_bounds_allow(filter, slice_of(channel)))
            continue;
        if (count + 2 > STORE_ARMS_MAX)
            return true;
        walk->arms[count++] = (struct arm){channel, NULL};
        if (filter->user != NULL)
            walk->arms[count++] = (struct arm){channel, filter->user};
    }
    walk->way = STORE_BY_PAIRS + count;
    return count > 0;
}

static void
bind_walk(sqlite3_stmt *statement, const struct store_walk *walk, int64_t after,
          int64_t limit)
{
    const struct store_range *range = walk->range;

    sqlite3_bind_int64(statement, READ_AFTER, after < ROW_ID_MIN ? ROW_ID_MIN - 1 : after);
    sqlite3_bind_int64(statement, READ_UP_TO, range->up_to);
    sqlite3_bind_int64(statement, READ_LIMIT, limit);
    sqlite3_bind_int(statement, READ_COLLAPSE, range->collapse ? 1 : 0);
    sqlite3_bind_int64(statement, READ_NEWEST,
                       range->newest > range->up_to ? range->newest : range->up_to);
    for (unsigned i = 0; walk->way > STORE_BY_PAIRS && i < walk->way - STORE_BY_PAIRS;
         i++) {
        int parameter = (int)(READ_FIRST_ARM + 2 * i);
        sqlite3_bind_text(statement, parameter, walk->arms[i].channel, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, parameter + 1, walk->arms[i].recipient, -1,
                          SQLITE_STATIC);
    }
}

/* Gives the row that the statement is at, unless a newer one replaces it. */
static void
walk_give(struct store_walk *walk, sqlite3_stmt *statement, const struct row *row)
{
    struct store_progress *progress = walk->progress;

    progress->last = row->id;
    if (row->collapse_key.p != NULL &&
        sqlite3_column_int(statement, COLUMN_SUPERSEDED) != 0)
        return;
    progress->given = (struct store_seen){row->id, row->created_at};
    if (walk->range->row(walk->range->arg, row) == STORE_STOP)
        walk->stopped = true;
}

/* Steps to the end of the range or of the walk. The result is SQLite's. */
static int
walk_rows(struct store *store, sqlite3_stmt *statement, struct store_walk *walk)
{
    int code;
    struct row row;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (walk->way == STORE_BY_FILTER ? walk->is_over : walk_is_over(walk))
            return SQLITE_DONE;
        if (!store_take_row(store, statement, &row))
            return SQLITE_NOMEM;
        if (walk->way != STORE_BY_FILTER)
            walk->looked_at++;
        if (walk->reading == STORE_FORWARD && !row.too_large && row.data.p == NULL)
            row.data = slice_of(""); /* NULL in a foreign table: an event without words */
        walk_give(walk, statement, &row);
        if (walk->stopped)
            return SQLITE_DONE;
    }
    return code;
}

/* --- rows that are too large to be read ---------------------------------------------- */

/* Of our tables without reading it. SQLite before 3.43 (octet_length) has no such way for a foreign
 * table, whose ids need not be its rowids: there it is read, once, for its length alone. */
static enum store_result
measure_data(struct store *store, int64_t id, size_t *bytes, struct error *error)
{
    sqlite3_blob *blob = NULL;
    int64_t length = 0;

    if (!store->foreign && sqlite3_blob_open(store->db, "main", store->table, "data", id, 0,
                                             &blob) == SQLITE_OK)
        length = sqlite3_blob_bytes(blob);
    sqlite3_blob_close(blob);
    enum store_result result = STORE_OK;
    if (length == 0) {
        char *sql = sqlite3_mprintf("SELECT length(CAST(\"data\" AS BLOB)) FROM \"%w\" "
                                    "WHERE \"id\" = %lld",
                                    store->table, (long long)id);
        int bound = sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, INT_MAX);
        result = sql != NULL ? store_ask_number(store, sql, NULL, &length, error)
                             : store_fail(store, SQLITE_NOMEM, "read the rows", error);
        sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, bound);
        sqlite3_free(sql);
    }
    *bytes = (size_t)length;
    return result;
}

/* The first row after `after`, whose data SQLite would not read. */
static enum store_result
walk_large_row(struct store *store, struct store_walk *walk, int64_t after,
               struct error *error)
{
    struct row row;
    enum store_result result;
    sqlite3_stmt *statement =
        store_read_statement(store, STORE_FORWARD_BARE, walk->way, &result, error);

    if (result != STORE_OK)
        return result;
    bind_walk(statement, walk, after, 1);
    if (walk->way == STORE_BY_FILTER)
        walk->looked_at--; /* it is asked about the row once more */
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW || !store_take_row(store, statement, &row)) {
        result = store_fail(store, code == SQLITE_ROW ? SQLITE_NOMEM : code,
                            "read the rows", error);
    } else {
        result = measure_data(store, row.id, &row.data_bytes, error);
        row.too_large = true;
        if (walk->way != STORE_BY_FILTER)
            walk->looked_at++;
        if (result == STORE_OK)
            walk_give(walk, statement, &row);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result;
}

/* --- ranges -------------------------------------------------------------------------- */

/* One statement from progress->last on: to the end, or to a row that is too large (*large). */
static enum store_result
walk_on(struct store *store, struct store_walk *walk, int64_t after, bool *large,
        struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_read_statement(store, walk->reading, walk->way, &result, error);

    *large = false;
    if (result != STORE_OK)
        return result;
    size_t left = walk->range->max_rows - walk->looked_at;
    bind_walk(statement, walk, after,
              walk->way == STORE_BY_FILTER || left > INT32_MAX ? -1 : (int64_t)left);
    store->walk = walk;
    int code = walk_rows(store, statement, walk);
    store->walk = NULL;
    *large = code == SQLITE_TOOBIG && walk->reading == STORE_FORWARD;
    if (code != SQLITE_DONE && !*large)
        result = store_fail(store, code, "read the rows", error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement); /* they point into the caller's filter */
    return result;
}

static enum store_result
walk_range(struct store *store, struct store_walk *walk, struct error *error)
{
    int64_t after = walk->range->after;
    bool large = true;
    enum store_result result = STORE_OK;

    while (result == STORE_OK && large) {
        result = walk_on(store, walk, after, &large, error);
        if (result == STORE_OK && large) {
            after = walk->way == STORE_BY_FILTER ? walk->last - 1 : walk->progress->last;
            store->walk = walk;
            result = walk_large_row(store, walk, after, error);
            store->walk = NULL;
            after = walk->progress->last;
            large = !walk->stopped && !walk->is_over;
        }
    }
    return result;
}

static enum store_result
read_rows(struct store *store, struct store_walk *walk, struct error *error)
{
    const struct store_range *range = walk->range;
    struct store_progress *progress = walk->progress;
    bool is_backward = walk->reading == STORE_BACKWARD;
    enum store_result result = STORE_OK;

    bool any = find_way(store, walk) && range->after < range->up_to && range->max_rows > 0;
    if (any)
        result = walk_range(store, walk, error);
    /* Rows that the filter has skipped were looked at too. */
    if (walk->way == STORE_BY_FILTER && walk->looked_at > 0 && !walk->stopped &&
        result == STORE_OK &&
        (is_backward ? walk->last < progress->last : walk->last > progress->last))
        progress->last = walk->last;
    progress->looked = walk->looked_at;
    progress->complete =
        result == STORE_OK && !walk->stopped && !walk->is_over &&
        (!any || walk->way == STORE_BY_FILTER || walk->looked_at < range->max_rows);
    return result;
}

enum store_result
store_read_range(struct store *store, const struct store_range *range,
                 struct store_progress *progress, struct error *error)
{
    struct store_walk walk = {
        .range = range, .progress = progress, .reading = STORE_FORWARD};

    *progress = (struct store_progress){.last = range->after};
    enum store_result result = read_rows(store, &walk, error);
    if (progress->complete && progress->last < range->up_to)
        progress->last = range->up_to;
    return result;
}

enum store_result
store_read_back(struct store *store, const struct store_range *range,
                struct store_progress *progress, struct error *error)
{
    struct store_walk walk = {
        .range = range, .progress = progress, .reading = STORE_BACKWARD};

    *progress = (struct store_progress){.last = range->up_to < INT64_MAX ? range->up_to + 1
                                                                         : INT64_MAX};
    enum store_result result = read_rows(store, &walk, error);
    if (progress->complete && progress->last > range->after)
        progress->last = range->after + 1;
    return result;
}
