/* read_log.h - reading the log after a cursor: marks, gap and rows of one snapshot.
 *
 * The one way for every reader of the log. Marks of one snapshot and rows of another would hide a
 * gap: rows that are deleted between the two are then neither given nor reported as a gap. */
#ifndef ROWCAST_STORE_READ_LOG_H
#define ROWCAST_STORE_READ_LOG_H

#include "event/sse.h"
#include "store/store.h"

/* Where a reader is, and the gaps that it knows. */
struct store_cursor {
    int64_t id;     /* every row up to it was given, or is not for the reader */
    bool is_judged; /* false: the id came from a client, and nothing is known of it yet */
    int64_t base;   /* the marks of the last read: what has changed since may be a gap */
    int64_t
        low_water; /* INT64_MAX: a foreign table that was empty, of which nothing is known */
    /* The row that was given last. If it is gone without having been deleted, or has another
     * created_at, an older state of the database was put back. */
    struct store_seen last;
};

/* A reader that begins at an id of the marks themselves: no gap lies behind it. */
struct store_cursor store_cursor_at(const struct store_marks *marks, int64_t id);

/* A reader of what is new: behind the last row, which counts as given. */
enum store_result store_cursor_at_tail(struct store *store, const struct store_marks *marks,
                                       struct store_cursor *cursor, struct error *error);

struct store_log {
    /* As for store_read_range, up_to ROW_ID_MAX: all there are. `after` is the cursor, and
     * `newest` the tail. */
    struct store_range range;
    /* Called at most once, before the first row and with range.arg, when rows behind the cursor
     * are missing for good. STORE_STOP: the cursor stays and no row is read. */
    enum store_step (*gap)(void *arg, const struct gap *gap);
    /* Out: of the same snapshot. complete: nothing is left up to the tail, or range.up_to. */
    struct store_marks marks;
    struct store_progress progress;
    bool has_gap;
    struct gap found; /* where has_gap: as `gap` got it */
};

/* Reads what comes after the cursor and moves it. When the schema has changed it looks at the table
* again first (a few ms). On STORE_BUSY or STORE_FAILED the rows that were given count, as does the
 * gap; call it again later. Nothing is held when it returns: what the caller writes to a reader may
 * take as long as it likes. */
enum store_result store_read_log(struct store *store, struct store_cursor *cursor,
                                 struct store_log *log, struct error *error);

#endif
