/* status_stream.h - the live status: a snapshot each second, as server-sent events, to a
 * few viewers. No stream of the hub: it has no rows and counts for no limit but its own. */
#ifndef ROWCAST_SERVE_STATUS_STREAM_H
#define ROWCAST_SERVE_STATUS_STREAM_H

#include <uv.h>

#include "feed/feed.h"
#include "hub/hub.h"
#include "fastcgi/output.h"

#define STATUS_VIEWERS_MAX 8

struct status_stream;

/* NULL when out of memory. hub and feed must outlive it. */
struct status_stream *status_stream_new(uv_loop_t *loop, const struct hub *hub,
                                        const struct feed *feed);

/* Takes the output; headers go out first. One viewer too many gets a retry: and the end. */
void status_stream_open(struct status_stream *stream, struct output *output,
                        struct slice headers);

/* Ends all of them in an orderly way. */
void status_stream_end(struct status_stream *stream);

/* Drops the viewers that are left. The loop must run once more for its timer to close. NULL is
 * fine. */
void status_stream_free(struct status_stream *stream);

#endif
