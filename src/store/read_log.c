/* read_log.c - see store/read_log.h. The rule for gaps itself is in store/gap.c. */
#include "config.h"

#include "store/internal.h"
#include "store/read_log.h"

#include "store/gap.h"

/* A foreign table that is empty has no low-water mark: its lowest id, once there is one, shows
 * nothing of deletions. */
static int64_t
known_low_water(const struct store_marks *marks)
{
    bool is_empty = marks->base == 0 && marks->lowest > marks->tail;

    return is_empty ? INT64_MAX : marks->low_water;
}

struct store_cursor
store_cursor_at(const struct store_marks *marks, int64_t id)
{
    return (struct store_cursor){.id = id,
                                 .is_judged = true,
                                 .base = marks->base,
                                 .low_water = known_low_water(marks)};
}

/* --- the row that was given last ----------------------------------------------------- */

static enum store_step
take_seen(void *arg, const struct row *row)
{
    *(struct store_seen *)arg = (struct store_seen){row->id, row->created_at};
    return STORE_STOP;
}

/* The highest row with after < id <= up_to, without its data; id 0: none. */
static enum store_result
find_seen(struct store *store, int64_t after, int64_t up_to, struct store_seen *seen,
          struct error *error)
{
    struct store_range range = {
        .after = after, .up_to = up_to, .max_rows = 1, .row = take_seen, .arg = seen};
    struct store_progress progress;

    *seen = (struct store_seen){0};
    return store_read_back(store, &range, &progress, error);
}

enum store_result
store_cursor_at_tail(struct store *store, const struct store_marks *marks,
                     struct store_cursor *cursor, struct error *error)
{
    *cursor = store_cursor_at(marks, marks->tail);
    return find_seen(store, 0, marks->tail, &cursor->last, error);
}

/* --- gaps ---------------------------------------------------------------------------- */

/* Whether what is there cannot follow on what the reader has: another database, or an older
 * state, whose ids say nothing about those from before. An older state to which more rows were
 * added by now than it lacks is recognized by the row that was given last. (Of a table that is not
 * ours no trigger notes what is deleted.) */
static enum store_result
is_other_history(struct store *store, const struct store_cursor *cursor,
                 const struct store_marks *marks, bool *is_other, struct error *error)
{
    struct store_seen last = cursor->last;
    struct store_seen now;

    *is_other =
        cursor->is_judged && (cursor->base != marks->base || cursor->id > marks->tail);
    if (*is_other || last.id == 0 || last.id <= marks->low_water)
        return STORE_OK;
    enum store_result result = find_seen(store, last.id - 1, last.id, &now, error);
    if (result == STORE_OK)
        *is_other = now.id == 0 ? marks->base != 0 : now.created_at != last.created_at;
    return result;
}

/* Finds what has happened to the rows behind the cursor since the last read. */
static enum store_result
find_gap(struct store *store, const struct store_cursor *cursor, struct store_log *log,
         struct error *error)
{
    const struct store_marks *marks = &log->marks;
    bool is_other;
    enum store_result result = is_other_history(store, cursor, marks, &is_other, error);

    if (result != STORE_OK)
        return result;
    bool is_pruned = marks->low_water > cursor->id && marks->low_water > cursor->low_water;
    log->has_gap = is_other;
    if (is_other)
        gap_reset(marks, cursor->id, &log->found);
    else if (!cursor->is_judged || is_pruned)
        log->has_gap = gap_find(marks, cursor->id, &log->found);
    return STORE_OK;
}

/* --- reading ------------------------------------------------------------------------- */

static enum store_result
read_rows(struct store *store, struct store_cursor *cursor, struct store_log *log,
          struct error *error)
{
    struct store_range range = log->range;

    range.after = cursor->id;
    if (range.up_to > log->marks.tail)
        range.up_to = log->marks.tail;
    enum store_result result = store_read_range(store, &range, &log->progress, error);
    if (log->progress.last > cursor->id)
        cursor->id = log->progress.last;
    if (log->progress.given.id != 0)
        cursor->last = log->progress.given;
    return result;
}

/* The cursor as the marks of this snapshot judge it. */
static void
move_cursor(struct store_cursor *cursor, const struct store_log *log)
{
    struct store_seen last = cursor->last;

    *cursor =
        store_cursor_at(&log->marks, log->has_gap ? log->found.resumed_at : cursor->id);
    if (!log->has_gap || log->found.reason != GAP_RESET)
        cursor->last = last;
}

/* Within one read transaction. */
static enum store_result
read_snapshot(struct store *store, struct store_cursor *cursor, struct store_log *log,
              struct error *error)
{
    enum store_result result = store_read_marks(store, &log->marks, error);

    if (result == STORE_OK)
        result = find_gap(store, cursor, log, error);
    if (result != STORE_OK)
        return result;
    if (log->has_gap && log->gap(log->range.arg, &log->found) == STORE_STOP)
        return STORE_OK;
    move_cursor(cursor, log);
    return read_rows(store, cursor, log, error);
}

enum store_result
store_read_log(struct store *store, struct store_cursor *cursor, struct store_log *log,
               struct error *error)
{
    log->progress = (struct store_progress){.last = cursor->id};
    log->has_gap = false;
    enum store_result result = store_begin_snapshot(store, error);
    if (result == STORE_OK)
        result = read_snapshot(store, cursor, log, error);
    store_end_read(store);
    return result;
}
