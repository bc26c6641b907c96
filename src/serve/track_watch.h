/* track_watch.h - says in the log when a table that is tracked has lost its triggers. */
#ifndef ROWCAST_SERVE_TRACK_WATCH_H
#define ROWCAST_SERVE_TRACK_WATCH_H

#include <uv.h>

#include "base/log.h"
#include "feed/feed.h"

struct track_watch;

/* Looks now and then on the loop, each time for some milliseconds at most. NULL with *error:
 * out of memory. */
struct track_watch *track_watch_new(uv_loop_t *loop, struct feed *feed,
                                    const struct log *log, struct error *error);
void track_watch_free(struct track_watch *watch);

#endif
