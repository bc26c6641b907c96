/* read_log.c - see store/read_log.h. The rule for gaps itself is in store/gap.c. */
#include "config.h"

#include "store/read_log.h"

#include "store/gap.h"

/* A foreign table that is empty has no low-water mark: its lowest id, once there is one, tells
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

/* What has happened to the rows behind the cursor since the last read. */
static bool
has_gap(const struct store_cursor *cursor, const struct store_marks *marks, struct gap *gap)
{
    bool is_other =
        !cursor->is_judged || cursor->base != marks->base || cursor->id > marks->tail;
    bool is_pruned = marks->low_water > cursor->id && marks->low_water > cursor->low_water;

    return (is_other || is_pruned) && gap_find(marks, cursor->id, gap);
}

/* Within one read transaction. */
static enum store_result
read_snapshot(struct store *store, struct store_cursor *cursor, struct store_log *log,
              struct error *error)
{
    struct gap gap;
    enum store_result result = store_read_marks(store, &log->marks, error);

    if (result != STORE_OK)
        return result;
    if (has_gap(cursor, &log->marks, &gap)) {
        cursor->id = gap.resumed_at;
        log->gap(log->arg, &gap);
    }
    *cursor = store_cursor_at(&log->marks, cursor->id);
    struct store_range range = log->range;
    range.after = cursor->id;
    if (range.up_to > log->marks.tail)
        range.up_to = log->marks.tail;
    result = store_read_range(store, &range, log->row, log->arg, &log->progress, error);
    if (log->progress.last > cursor->id)
        cursor->id = log->progress.last;
    return result;
}

enum store_result
store_read_log(struct store *store, struct store_cursor *cursor, struct store_log *log,
               struct error *error)
{
    log->progress = (struct store_progress){.last = cursor->id};
    enum store_result result = store_begin_read(store, error);
    if (result == STORE_OK)
        result = read_snapshot(store, cursor, log, error);
    store_end_read(store);
    return result;
}
