/* hub.h - the streams: opening, fan-out, catch-up, heartbeats, ends.
 *
 * DESIGN.md section 1 is its idea: a stream is a filter and a cursor over the table. New rows go
 * to all streams at the tail at once, packed once for each audience (hub/fanout.c); a stream that
 * is behind, whatever the reason, reads pages until it is at the tail (hub/replay.c). */
#ifndef ROWCAST_HUB_HUB_H
#define ROWCAST_HUB_HUB_H

#include <uv.h>

#include "feed/feed.h"
#include "base/latency_histogram.h"
#include "base/log.h"
#include "limits/limits.h"
#include "limits/refusal_log.h"
#include "http/request.h"
#include "hub/stream.h"

struct hub_config {
    uint64_t heartbeat_ms; /* 0: off */
    uint64_t stall_ms;     /* 0: never */
    uint64_t max_age_ms;   /* 0: none */
    unsigned retry_ms;
    uint64_t max_streams;            /* of all workers together */
    uint64_t max_here;               /* of this one: its descriptors */
    const struct limits *limits;     /* of users and addresses; NULL: none */
    struct refusal_log *refusal_log; /* for the log; NULL: not noted */
    size_t window_bytes;
    bool starts_cold; /* the window is not filled at the start: there is one reader (CGI) */
    size_t max_event_bytes;
    struct hub_counters *counters; /* one for each worker, outliving the hub */
    size_t workers;                /* how many; at least 1 */
    size_t worker;                 /* which one is this hub's */
};

/* Why a reader is sent away. */
enum hub_refusal {
    HUB_DRAINING,
    HUB_FULL,
    HUB_USER_FULL,
    HUB_ADDRESS_FULL,
    HUB_NO_DATABASE,
    HUB_NO_MEMORY,
    HUB_TOO_OFTEN,
    HUB_REFUSALS,
    HUB_ADMITTED = HUB_REFUSALS
};

/* Written by one worker, read by all workers' reports: aligned 64-bit words in shared memory. */
struct hub_counters {
    uint64_t streams; /* open now */
    uint64_t behind;  /* of them in the catch-up queue */
    uint64_t window_bytes;
    uint64_t opened;
    uint64_t refused; /* over a limit */
    uint64_t closed[CLOSE_REASONS];
    uint64_t events; /* deliveries: one event to one stream */
    uint64_t bytes;  /* written to streams: headers and bodies, no framing */
    uint64_t rows;   /* seen by the feed */
    uint64_t gaps;
    uint64_t publishes; /* requests that published something; see publish/endpoint.h */
    uint64_t published; /* rows of theirs */
    uint64_t
        tail; /* rows up to it were handed to this worker's streams; 0: it has none yet */
    uint64_t
        pruned_rows; /* by --keep-age and --keep-rows; written by serve/retention.c's thread */
    uint64_t prunes;           /* its transactions */
    uint64_t formats[FORMATS]; /* open streams by representation */
    uint64_t refused_by[HUB_REFUSALS];
    uint64_t database_errors; /* reads that failed */
    uint64_t started_ms;      /* Unix time of the first start in this place */
    struct log_loss log;      /* lines of the log that nobody took; by any thread */
    struct latency_histogram lag;
};

/* The reasons in `refused_by`, as a label. */
const char *hub_refusal_name(int which);

/* What is told of an open stream; all of it valid until the callback returns. */
struct hub_stream_info {
    uint64_t serial;
    const char *user;                /* NULL: anonymous */
    const char *address;             /* NULL: not known */
    const struct patterns *channels; /* as requested; none: all */
    enum format format;
    const char *state;
    uint64_t age_ms;
    int64_t cursor;
    int64_t distance; /* ids between the cursor and the tail */
    uint64_t events, bytes;
};
typedef void (*hub_stream_fn)(void *arg, const struct hub_stream_info *info);

/* Calls fn for at most `most` open streams of this worker, those that are stuck first. Returns how
 * many more there are. */
size_t hub_each_stream(const struct hub *hub, size_t most, hub_stream_fn fn, void *arg);

const struct hub_config *hub_settings(const struct hub *hub);

/* Returns NULL with *error. feed must outlive the hub and be started with hub_feed_handlers. */
struct hub *hub_new(uv_loop_t *loop, struct feed *feed, const struct hub_config *config,
                    const struct log *log, struct error *error);
const struct feed_handlers *hub_feed_handlers(void);

/* Opens a stream on the output, which the hub owns from now on (wire->reader is the stream).
 * headers: the CGI header block, blank line included; the opening block goes out in the same
 * write. The request's filter and address are taken from *request. */
void hub_open(struct hub *hub, struct output *output, struct request *request,
              struct slice headers);

/* For the gateway's handlers. */
void hub_output_writable(struct output *output);
void hub_output_gone(struct output *output, enum close_reason why);

/* Ends every stream in an orderly way and refuses new ones. */
void hub_drain(struct hub *hub);

/* Of a worker that has died: nothing is open any more. */
void hub_forget_streams(struct hub_counters *counters);

size_t hub_streams(const struct hub *hub);

/* Rows up to it were handed out by all of these workers that are there; 0: none is. */
uint64_t hub_lowest_tail(const struct hub_counters *counters, size_t workers);

/* The sum over all workers; rows, which each of them sees, as this one has counted them. */
void hub_totals(const struct hub *hub, struct hub_counters *totals);

/* Drops what streams are left. The loop must run once more for handles to close. */
void hub_free(struct hub *hub);

#endif
