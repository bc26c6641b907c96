/* watch.h - says "the database may have changed", without polling.
 *
 * File events on the database's folder tell of each write to the WAL or the journal; but they
 * come a moment *before* the commit is visible (the WAL index changes through shared memory,
 * which fires nothing, and with synchronous=FULL an fsync lies between). So after an event the
 * look is repeated, at first every 50 µs, then in steps of a quarter of the time since the
 * event, then doubling up to the fallback interval; the next event starts that again. Measured
 * without the repeats: none of 300 commits with synchronous=FULL, Debian's default, is seen.
 * The fallback continues for ever, for file systems without events.
 *
 * File events are not free for the writer: eight for a commit cost it a tenth of its rate. While
 * every look finds something the watch is therefore taken off the folder and the table looked
 * at every half a millisecond, until that finds nothing for a while (a network card's driver
 * does the same with its interrupts). */
#ifndef ROWCAST_FEED_WATCH_H
#define ROWCAST_FEED_WATCH_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"

#define WATCH_FIRST_US 50
#define WATCH_FINE_US 2000 /* an fsync mostly takes less */
#define WATCH_FALLBACK_US 1000000

struct watch;

enum watch_reason {
    WATCH_NEWS, /* there may be new rows */
    /* Also the moment to see whether the files at the path are still the same: about once a second,
     * however many looks there are, and when a file came, went or changed its name. */
    WATCH_FILES
};

/* Returns true when there was something new. */
typedef bool (*watch_fn)(void *arg, enum watch_reason reason);

/* Watches the folder of the database file (symbolic links followed, as SQLite does). look is
 * called from the loop, first right after the start. Where the folder cannot be watched only
 * the fallback remains. Returns NULL with *error when the timer cannot be made. */
struct watch *watch_new(uv_loop_t *loop, const char *db_path, watch_fn look, void *arg,
                        struct error *error);

/* The database was reopened: from now on the folder is watched in which it is now. */
void watch_follow(struct watch *watch, const char *db_path);

/* Something that we know of has changed, or there is more to read: look again soon. */
void watch_nudge(struct watch *watch);

/* False where there are no file events: each row then waits for the fallback. */
bool watch_has_events(const struct watch *watch);

void watch_free(struct watch *watch);

#endif
