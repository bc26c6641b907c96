/* state.h - the structs that the hub's files share. What the files do with them is in their own
 * headers; nothing outside of hub/ includes this. */
#ifndef ROWCAST_HUB_STATE_H
#define ROWCAST_HUB_STATE_H

#include <uv.h>

#include "base/queue.h"
#include "base/string_map.h"
#include "event/sse.h"
#include "fastcgi/records.h"
#include "hub/audience.h"
#include "hub/hub.h"
#include "hub/window.h"
#include "track/track.h"

/* --- a stream ------------------------------------------------------------------------ */

#define TABLE_STATES_MAX 8
#define TABLE_PARTS_KEPT 8

enum stream_state {
    STREAM_LIVE,      /* at the tail; in its audience's live list */
    STREAM_READY,     /* behind; in hub->turns for its next step of replay */
    STREAM_BLOCKED,   /* the socket is full; the output is armed; in hub->blocked */
    STREAM_THROTTLED, /* nothing is written before its pace timer fires */
    STREAM_CLOSED     /* output is NULL; in hub->closed until it is freed */
};

/* Where a stream begins. */
struct resume_point {
    int64_t cursor;
    bool has_gap;
    struct gap gap;      /* gap.resumed_at is the cursor */
    bool is_cut_short;   /* last=N: fewer rows were found, and not all were looked at */
    int64_t searched_to; /* the lowest id that was looked at then */
};

/* last=N: a search from the tail back, which ends when `left` is 0 (hub/search.c). */
struct search {
    uint32_t left;   /* rows still to be found; 0: there is no search */
    uint32_t looked; /* rows looked at */
    int64_t at;      /* rows above it have been looked at */
    int64_t newest;  /* the tail when it began: rows up to it may replace older ones */
    int64_t cursor;  /* the id before the lowest row found, else the tail */
};

/* state=: the rows of tables that a stream begins with, and again after a gap
 * (hub/table_state.c). */
struct table_state {
    char *names[TABLE_STATES_MAX]; /* owned */
    size_t count;
    bool is_reading; /* rows are still to come; no id is sent meanwhile */
    size_t table;    /* of names: the one that is being read */
    uint64_t part;   /* the serial of the part that was taken last; 0: none of it */
    struct track_cursor behind; /* the last row of it that was looked at */
    int64_t at; /* of the first part: the stream continues from there; -1: none yet */
};

/* What only some streams need. In memory of its own, because libuv closes timers later. */
struct stream_extra {
    struct stream *stream; /* NULL once that is freed */
    int handles;           /* timers that libuv still knows */
    uv_timer_t pace;       /* hub/throttle.c: when the stream may continue */
    uv_timer_t lifetime;   /* hub/lifetime.c: wait=, --max-age or a ticket's end */
    int64_t expires_at_ms; /* Unix time of the ticket's end; 0: none */
    bool ends_by_ticket;   /* `lifetime` waits for that */
    uint64_t paced_ms;     /* when rows were last written; 0: they may be at once */
    uint32_t throttle_ms;
    struct cut cut; /* an event of which only a part is out; id 0: none */
    struct search search;
    struct table_state tables;
    size_t held;        /* bytes kept for its reader, as hub->held counts them */
    struct buf headers; /* of a poll, or during a search: of the answer, not sent yet */

    /* Of a poll. */
    struct buf parts;          /* of its tables' state, joined by commas */
    struct resume_point start; /* its start, as the document reports it */
    struct buf rows;           /* the rows of the document so far, joined by commas */
    int64_t rows_cursor;       /* the cursor behind them */
    bool is_answered;          /* the document is with the output, which flushes it */
};

/* Whether the log has lines of a stream: decided when it opens, kept when it ends. */
enum stream_log { STREAM_LOG_UNDECIDED, STREAM_LOGGED, STREAM_NOT_LOGGED };

struct stream {
    struct hub *hub;
    const struct stream_kind *kind; /* events, or a poll: hub/stream.h */
    struct output *output;
    struct audience *audience;
    struct stream_extra *extra; /* NULL: none of it is needed */
    struct queue_link by_write; /* in hub->writable or hub->blocked, oldest write first */
    struct queue_link turn;     /* in hub->turns or hub->closed */

    /* Every row up to the cursor was written to the stream or is not for it. This holds in every
     * state. A live stream's cursor is not moved by each row, so that a row costs nothing to the
     * audiences that it is not for: stream_cursor() says how far the stream really is, and
     * leaving STREAM_LIVE moves the cursor there. */
    int64_t cursor;
    int64_t last_sent_id; /* the highest id in an id: line (or the like) so far */
    int64_t low_water;    /* deletions up to it need no gap event any more */
    int64_t started_at;
    uint64_t wrote_ms; /* last write, or last progress of a blocked one */
    uint64_t opened_ms;
    uint64_t events, bytes; /* written or kept to be; the CGI headers counted, no framing */
    uint64_t serial;        /* for the log */
    char *address;          /* NULL: not known; owned */
    struct string_map_entry *client; /* in hub->clients; NULL: none (hub/client.c) */
    struct limits_hold hold; /* what it counts for at the limits, until it is closed */
    uint32_t live_index;     /* in audience->live */
    uint32_t epoch;          /* the hub's, when the cursor was taken */
    uint16_t steps;          /* of replay since it was last at the tail */
    uint8_t share;           /* of the turns: hub/turns.c */
    uint8_t state;           /* enum stream_state */
    bool ping;
    bool by_ticket;    /* as in hub_request */
    uint8_t log_lines; /* enum stream_log */
    int64_t since_ms;  /* likewise */
    void *watched;     /* the watcher's; NULL: it does not watch the stream */
};

/* --- the hub ------------------------------------------------------------------------- */

/* Streams that wait for a step of replay. The first steps of a stream come before the later steps
 * of others; the later steps are divided evenly among addresses (hub/turns.c). */
#define TURN_SHARES 64 /* a power of two; at most 256 */

struct turns {
    struct queue fresh;
    struct queue shares[TURN_SHARES];
    struct hash_key key; /* from an address to its share */
    size_t waiting;      /* in the shares */
    unsigned next_share;
    bool fresh_was_last;
    uint64_t until_ns; /* uv_hrtime: this turn's steps stop then */
};

/* A page of replay: the rows behind `after`, packed for one audience. The last one is kept, since
 * it may serve again: thousands of streams that resume from the same id share it, and a stream
 * whose socket was full in the middle of it continues there.
 *
 * It serves as long as it says the same as a page made now: the audience is the same (hub/hub.c
 * forgets the page before an audience's memory can come back as another), no row was added or
 * deleted (hub/fanout.c forgets it with each batch and reset). A stream may enter it at its start
 * or behind any record that ends with an event (a mark without a cut). */
struct replay_page {
    struct records records;
    struct audience *audience; /* NULL: no page is kept */
    int64_t after;
    int64_t up_to;     /* the tail it was made for */
    size_t most_bytes; /* of events; a throttled stream gets larger pages */
};

/* A part of a table's state. The last few are kept, as many pages that open at once want the
 * same, and some of them come a little later than others.
 *
 * It serves a stream of the same audience that has taken the part before it, as long as changes
 * after `at` will still come to that stream: `at` is not below where the stream continues from. */
struct table_part {
    struct audience *audience; /* NULL: none is kept */
    struct track *track;       /* of hub->tables; NULL: the table is tracked no more */
    uint32_t epoch;            /* the hub's */
    uint64_t serial;           /* different for each part; the first is 1 */
    uint64_t after;            /* the part before it; 0: it is a table's first */
    struct track_cursor behind;
    struct buf rows; /* joined by commas */
    int64_t at;
    uint64_t made_ms;
    bool has_more;
};

struct hub {
    uv_loop_t *loop;
    struct feed *feed;
    struct hub_config config;
    const struct log *log;
    struct window *window;
    struct audiences *audiences;

    uint32_t epoch; /* grows when the database is replaced */
    struct store_marks
        epoch_marks; /* as they were then: all rows above are new to a stream */
    uint64_t serial;
    uint64_t shared_opened, shared_streams; /* as they were; see channel_list_share */
    struct hub_counters *counters;          /* this worker's, in config.counters */
    bool draining;

    struct queue
        writable;         /* streams that can be written, oldest write first (heartbeats) */
    struct queue blocked; /* BLOCKED ones, oldest progress first (stalls) */
    struct queue closed;  /* to be freed */
    struct turns turns;   /* READY ones */
    size_t held;          /* of all streams: stream_hold */

    uv_timer_t heartbeat; /* heartbeats and stalls */
    uv_timer_t retry;     /* replay after the database was busy */
    uv_idle_t idle;       /* active while a stream waits for its turn */
    uv_prepare_t turn_end;
    int handles; /* that libuv still knows */

    /* Fan-out. A batch is the rows that the feed gives between two calls of fanout_batch: the
     * last batch_rows entries of the window. The indexes in audience->batch are relative to the
     * first of these, since the window may drop older rows meanwhile. */
    struct audience **touched; /* audiences that the batch concerns */
    size_t touched_count, touched_cap;
    uint32_t batch_rows;
    bool batch_broken;    /* memory ran out: the streams replay the batch instead */
    bool globs_are_late;  /* patterns took too long: those who have some replay it */
    uint32_t globs_tried; /* in this batch */
    uint64_t globs_until_ns;
    struct records packed;

    struct hub_watcher watcher; /* its functions are NULL: there is none */
    struct string_map clients;  /* pages that name themselves, each with its one stream */
    uv_timer_t page_check;      /* client_end_replaced, where there are several workers */
    struct replay_page page;
    struct table_part parts[TABLE_PARTS_KEPT];
    uint64_t part_serial; /* of the part that was made last */
    struct tables *tables;
    struct records rest; /* the rest of an event of which a part was sent */
    struct buf scratch;  /* one event */
};

/* The tail: rows up to it were given to all live streams. It is the feed's, which moves it once
 * hub/fanout.c has sent a batch. */
static inline int64_t
hub_tail(const struct hub *hub)
{
    return feed_tail(hub->feed);
}

/* The stream has, or does not want, every row up to this id. */
static inline int64_t
stream_cursor(const struct stream *stream)
{
    int64_t tail = hub_tail(stream->hub);
    return stream->state == STREAM_LIVE && stream->cursor < tail ? tail : stream->cursor;
}

static inline bool
stream_is_cut(const struct stream *stream)
{
    return stream->extra != NULL && stream->extra->cut.id != 0;
}

static inline bool
stream_reads_tables(const struct stream *stream)
{
    return stream->extra != NULL && stream->extra->tables.is_reading;
}

static inline bool
stream_is_searching(const struct stream *stream)
{
    return stream->extra != NULL && stream->extra->search.left > 0;
}

#endif
