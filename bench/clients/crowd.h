/* crowd.h - thousands of readers in one thread, each of whose events is counted and checked.
 *
 * Streams are opened at a FastCGI socket (as a web server does) or at a web server (as browsers
 * do). The rows' data is that of event_line.h: a stream whose numbers are not one after the
 * other is a fault. */
#ifndef ROWCAST_BENCH_CROWD_H
#define ROWCAST_BENCH_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"

struct crowd;

struct crowd_config {
    struct client_target target;
    /* The first line of the body that shows that the stream is open; NULL: its first line. */
    const char *opening;
};

/* Starts the reading thread. NULL when out of memory or descriptors. */
struct crowd *crowd_new(const struct crowd_config *config);

/* Opens more streams, the %d of the query being each one's number, and waits until each has had
 * its opening. The first row of each is expected to be `next`. Returns 0, or -1 with errno. */
int crowd_open(struct crowd *crowd, int count, const char *query, int64_t next);

/* What all streams together have had so far. */
int64_t crowd_events(const struct crowd *crowd);

/* Waits until all streams together have had so many events; crowd_reached_ns then says when
 * the last came. False after timeout_ms. */
bool crowd_wait(struct crowd *crowd, int64_t events, int timeout_ms);
int64_t crowd_reached_ns(const struct crowd *crowd);

/* Streams that ended, and events that were lost, doubled or out of order. */
int64_t crowd_faults(const struct crowd *crowd);

/* From now on keeps the way of each event, up to `max` of them; 0: none. False: no memory. */
bool crowd_keep_delays(struct crowd *crowd, size_t max);
/* Those kept so far; valid until the next crowd_keep_delays. */
int64_t *crowd_delays(struct crowd *crowd, size_t *count);

/* All streams stop reading (their sockets fill) or read on. */
void crowd_mute(struct crowd *crowd, bool mute);

void crowd_close_all(struct crowd *crowd);
void crowd_free(struct crowd *crowd);

#endif
