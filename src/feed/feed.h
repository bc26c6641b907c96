/* feed.h - each committed row once, in id order.
 *
 * Connects watch and store: looks when the watch says so, reads new rows in pages, notices that
 * the database was replaced or restored, and continues after a lock or an error. Replay and the
 * look-up of a stream's start read the table through it too. */
#ifndef ROWCAST_FEED_FEED_H
#define ROWCAST_FEED_FEED_H

#include <uv.h>

#include "base/log.h"
#include "store/follower.h"
#include "store/store.h"
#include "store/gate.h"

/* A look reads at most this much before the rows are sent on; the next follows at once. A socket
 * takes hardly more in one write. */
#define FEED_PAGE_ROWS 1000
#define FEED_PAGE_BYTES (128 * 1024)

/* Writers lock the database for moments; one that does so for longer is trouble. */
#define FEED_BUSY_PATIENCE_MS 5000

struct feed;

struct feed_handlers {
    /* A new row; its bytes are valid until it returns. */
    void (*row)(void *arg, const struct row *row);
    /* The rows given since the last batch are all up to `tail`, which feed_tail becomes when
     * the handler returns. marks are of the same snapshot. lost_up_to > 0: rows up to that id
     * were deleted before they were seen. */
    void (*batch)(void *arg, const struct store_marks *marks, int64_t tail,
                  int64_t lost_up_to);
    /* Another database, or an older state of it, is at the path: ids from before do not hold.
     * feed_tail and feed_marks are those of before until the handler returns. */
    void (*reset)(void *arg, const struct store_marks *marks);
};

/* Opens the store (config->mode STORE_READ, busy_ms 0) and starts at its tail. Waits for a
 * lock, for FEED_BUSY_PATIENCE_MS at the most, and 300 ms where another process seems to have
 * other files open. Returns NULL with *error saying what to do. */
struct feed *feed_new(uv_loop_t *loop, const struct store_config *config,
                      const struct log *log, struct error *error);

/* From now on rows are handed out. */
int feed_start(struct feed *feed, const struct feed_handlers *handlers, void *arg,
               struct error *error);

/* Reopens the database (SIGHUP): what is at the path now is read from then on, and streams stay
 * open. Every connection of the process is closed first, so it may come after this call; while it
 * cannot be opened it is tried again, and the log and the health check say why. */
void feed_reload(struct feed *feed);

/* Called on the loop after each look that found something committed (by whatever program, in
 * whatever table) and after the database was opened again, when the rows have been handed out.
 * NULL: not any more. One at a time. */
typedef void (*feed_changed_fn)(void *arg);
void feed_on_change(struct feed *feed, feed_changed_fn changed, void *arg);

/* How often the database was opened: with another number it may be another database. */
uint64_t feed_openings(const struct feed *feed);

/* Other parts of the process open the database only through this. */
struct store_gate *feed_gate(const struct feed *feed);

/* Called on the loop; error: what has happened and what to do. */
typedef void (*feed_lost_fn)(void *arg, const struct error *error);

/* From now on the process may only open files in the folder in which the database is now
 * (sandbox). When another folder has taken its place, `lost` is called, once a second: only a new
 * process can continue. */
void feed_confine(struct feed *feed, feed_lost_fn lost, void *arg);

/* Looks now: what was committed before this call is handed out when it returns, unless the
 * database is locked (or there is more than a page of it). True when something was new. */
bool feed_look(struct feed *feed);

/* The store for reads, or NULL while it cannot be opened. */
struct store *feed_store(const struct feed *feed);
const struct store_marks *feed_marks(const struct feed *feed);
int64_t feed_tail(const struct feed *feed);

const char *feed_path(const struct feed *feed); /* of the database, as it was given */

/* What the database follows, as of the last look; NULL: nothing, its rows are its own. */
const struct store_follower *feed_follower(const struct feed *feed);

/* NULL while all is well, else what is wrong with the database, or why it cannot be known whether
 * rows arrive. */
const char *feed_trouble(const struct feed *feed);

/* As feed_trouble, but a lock counts only once it has lasted for a while, and what the table has
 * lost (store_fault) counts too: for health checks. */
const char *feed_lasting_trouble(const struct feed *feed);

/* Reads the table in any case, after a look; the two above have the result. */
void feed_probe(struct feed *feed);

/* For how long rows have waited to be handed out, or the database could not be read; 0: neither. */
uint64_t feed_lag_ms(const struct feed *feed);

/* From now on failed reads (a lock is none) are counted in *errors. */
void feed_count_errors(struct feed *feed, uint64_t *errors);

/* Reports that a read of the caller's has failed, so that the feed reopens the database if need
 * be. */
void feed_report(struct feed *feed, enum store_result result, const struct error *error);

void feed_free(struct feed *feed);

#endif
