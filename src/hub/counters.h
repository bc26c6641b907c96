/* counters.h - what a hub counts, and the words for reasons: in the log, in /metrics and /status.
 *
 * One struct for each worker, in memory that all workers share: aligned 64-bit words that one
 * worker writes and the reports of all read. It outlives the hub, and the worker. */
#ifndef ROWCAST_HUB_COUNTERS_H
#define ROWCAST_HUB_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/latency_histogram.h"
#include "base/log.h"
#include "event/format.h"

/* Why a stream has ended. */
enum close_reason {
    CLOSE_READER_GONE,
    CLOSE_ABORTED,  /* by the web server: FCGI_ABORT_REQUEST */
    CLOSE_STALLED,  /* the reader took nothing for --stall-timeout */
    CLOSE_DRAINED,  /* the program restarts */
    CLOSE_AGED,     /* --max-age */
    CLOSE_EXPIRED,  /* its ticket */
    CLOSE_ANSWERED, /* a poll's document is out */
    CLOSE_CHANGED,  /* the event that was half out is no longer in the table */
    CLOSE_NO_MEMORY,
    CLOSE_REPLACED, /* its page opened another one: client= */
    CLOSE_REVOKED,  /* its user was thrown out */
    CLOSE_REASONS
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

struct hub_counters {
    uint64_t streams; /* open now */
    uint64_t behind;  /* of these, waiting for their next page of replay */
    /* answers other than streams that readers have not taken yet; written by serve/waiting.c */
    uint64_t answers;
    uint64_t window_bytes;
    uint64_t opened;
    uint64_t refused; /* over a limit */
    uint64_t closed[CLOSE_REASONS];
    uint64_t too_many; /* requests that were answered 429; written by serve/dispatch.c */
    uint64_t events;   /* deliveries: one event to one stream */
    uint64_t bytes;    /* written to streams: headers and bodies, no framing */
    uint64_t rows;     /* seen by the feed */
    uint64_t gaps;
    uint64_t states;           /* of tables, sent whole to one stream */
    uint64_t state_bytes;      /* of their rows */
    uint64_t publish_requests; /* written by publish/endpoint.c */
    uint64_t published_rows;   /* the same for rows */
    uint64_t read_marks;       /* stored; written by people/read_marks.c */
    uint64_t users;            /* with open streams; written by people/presence.c */
    uint64_t
        tail; /* rows up to it were given to this worker's streams; 0: there is no worker */
    uint64_t pruned_rows; /* by --keep-age and --keep-rows; written by retention's thread */
    uint64_t prunes;      /* its transactions */
    uint64_t formats[FORMATS]; /* open streams by representation */
    uint64_t refused_by[HUB_REFUSALS];
    uint64_t database_errors; /* reads that failed */
    uint64_t started_ms;      /* Unix time of the first start in this place */
    struct log_loss log;      /* lines of the log that were lost; written by any thread */
    struct latency_histogram lag;
};

/* The words of a close line in the log, and the labels of `closed` and `refused_by`. */
const char *close_reason_name(enum close_reason why);
const char *close_reason_meaning(enum close_reason why); /* in a sentence */
const char *hub_refusal_name(enum hub_refusal why);

/* For a worker that has died: sets what counts open streams to 0. */
void hub_counters_forget_streams(struct hub_counters *counters);

/* The lowest tail of these workers: every worker has given out the rows up to it. 0: there is no
 * worker. Any thread may call it. */
uint64_t hub_counters_lowest_tail(const struct hub_counters *counters, size_t workers);

/* Adds the counters up. Two are not sums: rows and tail are the worker `own`'s, because each
 * worker sees every row. started_ms is the first one's. */
void hub_counters_sum(const struct hub_counters *counters, size_t workers, size_t own,
                      struct hub_counters *sum);

#endif
