/* stream.h - one reader: a cursor over the table, and where its bytes stand.
 *
 * The hub owns streams; this is what its files (hub, fanout, catchup, pulse) share. Every
 * stream is in exactly one state, and stream_set_state is the one place that moves it. */
#ifndef ROWCAST_HUB_STREAM_H
#define ROWCAST_HUB_STREAM_H

#include <uv.h>

#include "hub/audience.h"
#include "limits/limits.h"
#include "base/queue.h"
#include "fastcgi/records.h"
#include "event/sse.h"
#include "fastcgi/output.h"

struct hub;

enum stream_state {
    STREAM_LIVE,  /* cursor at the hub's tail; in its audience's live list */
    STREAM_READY, /* behind; in the hub's ready queue for the next page of catch-up */
    STREAM_BLOCKED, /* the socket is full; the output wants to write; in the hub's stuck queue */
    STREAM_THROTTLED, /* throttled: behind or not, nothing is written before its pace timer */
    STREAM_CLOSED     /* wire is NULL; in the hub's closed queue until the turn's end */
};

/* What only some streams need; in memory of its own, as libuv frees timers late. */
struct stream_extra {
    uv_timer_t pace;       /* throttle: when the next write may be */
    uv_timer_t limit;      /* wait= of a long poll, --max-age or a ticket's end */
    struct stream *stream; /* NULL once that is freed */
    int64_t expires_at_ms; /* Unix time of the ticket's end; 0: none */
    bool limit_is_expiry;  /* `limit` waits for that, not for --max-age */
    int handles;
    uint64_t paced_ms; /* when data was last written */
    uint32_t throttle_ms;
    struct cut cut;     /* an event of which only a part is out; id 0: none */
    uint32_t seek_left; /* last=N: rows still to be found, going back */
    int64_t seek_at;    /* last=N: rows above it have been looked at */
    int64_t seek_found; /* last=N: the id before the lowest row found, else the tail */
    bool has_gap;       /* FORMAT_JSON: goes into the document */
    enum gap_reason gap_reason;
    char gap_after[REQUEST_ID_TEXT_MAX + 1];
    int64_t gap_resumed_at;
    struct buf opening; /* last=N: headers, to be sent when the start is found */
};

struct stream {
    struct hub *hub;
    struct output *output;
    struct audience *audience;
    struct stream_extra *extra; /* NULL: none of it is needed */
    struct queue_link
        by_write; /* hub->quiet or, when BLOCKED, hub->stuck: oldest write first */
    struct queue_link turn; /* hub->ready or hub->closed */
    int64_t cursor; /* every row up to it was written or is not for this stream; when LIVE
                        * it is the hub's tail that counts */
    int64_t last_sent_id; /* the last id that the client was told */
    int64_t low_water;    /* deletions up to it need no gap event any more */
    int64_t started_at;
    uint64_t wrote_ms; /* last write, or last progress of a blocked one */
    uint64_t opened_ms;
    uint64_t events, bytes; /* written or kept to be; the CGI headers counted, no framing */
    uint64_t serial;        /* for the log */
    char *address;          /* REMOTE_ADDR or NULL; owned */
    struct limits_hold hold; /* what it counts for at the limits */
    uint32_t live_index;
    uint32_t epoch; /* the hub's, when the cursor was taken */
    uint8_t state;  /* enum stream_state */
    bool ping;
    uint8_t log_lines; /* enum stream_log */
    bool is_poll;      /* FORMAT_JSON: one document, then the end */
};

/* Whether the log has lines of a stream: decided when it opens, kept when it ends. */
enum stream_log { STREAM_LOG_UNDECIDED, STREAM_LOGGED, STREAM_NOT_LOGGED };

/* Moves the stream from the lists of its state to those of the new one. */
void stream_set_state(struct stream *stream, enum stream_state state);

/* The extra part, made on first use; NULL when out of memory. */
struct stream_extra *stream_need_extra(struct stream *stream);

static inline bool
stream_is_cut(const struct stream *stream)
{
    return stream->extra != NULL && stream->extra->cut.id != 0;
}

/* Writes the packed records, all of them or those behind the mark `from`, and books what went
 * out: cursor, counters, state BLOCKED when the socket is full, closed when the peer is gone.
 * True when all of it is out. */
bool stream_write(struct stream *stream, const struct records *records);
bool stream_write_from(struct stream *stream, const struct records *records,
                       const struct mark *from);

/* Writes words of our own (the opening, a gap, a heartbeat), which unlike rows cannot be read
 * again: what the socket does not take is kept and goes out first. True when all is out. */
bool stream_tell(struct stream *stream, struct slice text);

/* The words in a close line of the log, and the counters' names. */
enum close_reason {
    CLOSE_READER_GONE,
    CLOSE_ABORTED,
    CLOSE_STALLED,
    CLOSE_DRAINED,
    CLOSE_AGED,
    CLOSE_EXPIRED,  /* its ticket */
    CLOSE_ANSWERED, /* a JSON document is out */
    CLOSE_CHANGED,  /* the event that was half out is no longer in the table */
    CLOSE_NO_MEMORY,
    CLOSE_REASONS
};
const char *close_reason_name(enum close_reason why);

/* Ends the response in an orderly way: goodbye (a comment and retry:, where the format has
 * them) if `goodbye` is not NULL and no event is half out, END_REQUEST. */
void stream_end(struct stream *stream, enum close_reason why, const char *goodbye);

/* Cuts the connection: the client sees it broken and comes back. */
void stream_drop(struct stream *stream, enum close_reason why);

/* The wire is not ours any more (the peer closed it). */
void stream_lose(struct stream *stream, enum close_reason why);

#endif
