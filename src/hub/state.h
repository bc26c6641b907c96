/* state.h - the hub's own state, for the files that make it up: hub/hub.c, hub/stream.c,
 * hub/resume.c, hub/fanout.c, hub/replay.c, hub/heartbeat.c. Nobody else includes it. */
#ifndef ROWCAST_HUB_STATE_H
#define ROWCAST_HUB_STATE_H

#include "hub/hub.h"
#include "hub/window.h"

/* A page of catch-up, kept as it may serve again: five thousand streams that resume from the same
 * id share it, and one whose socket was full in the middle of it goes on from there. */
struct replay_page {
    struct records records;
    const struct audience *audience; /* NULL: no page is kept */
    int64_t after;
    int64_t up_to;  /* the tail it was made for */
    bool throttled; /* made for a throttled stream: larger */
};

struct hub {
    uv_loop_t *loop;
    struct feed *feed;
    struct hub_config config;
    const struct log *log;
    struct window *window;
    struct audiences *audiences;

    int64_t tail;   /* rows up to it were given to all LIVE streams: hub_set_tail */
    uint32_t epoch; /* grows when the database is replaced */
    uint64_t serial;
    struct hub_counters *counters; /* this worker's, in config.counters */
    bool draining;

    struct queue
        writable;         /* streams that can be written, oldest write first (heartbeats) */
    struct queue blocked; /* BLOCKED ones, oldest progress first (stalls) */
    struct queue ready;   /* READY ones, next turn first */
    struct queue closed;  /* freed at the end of the turn */
    uv_timer_t heartbeat; /* heartbeats and stalls */
    uv_timer_t retry;     /* catch-up after the database was busy */
    uv_idle_t idle;       /* runs while `ready` has somebody */
    uv_prepare_t reaper;
    int handles;
    bool freed;

    /* fan-out */
    struct audience **touched; /* audiences that the batch concerns */
    size_t touched_count, touched_cap;
    uint32_t batch_rows; /* so many rows at the window's end are the batch */
    bool batch_broken;   /* memory ran out: the streams catch up instead */
    struct records packed;

    struct replay_page page;
    struct buf scratch;   /* one event */
    struct records small; /* the rest of an event that was half out */
};

/* Rows up to it were given to all LIVE streams. Told to the thread that deletes old rows. */
static inline void
hub_set_tail(struct hub *hub, int64_t tail)
{
    hub->tail = tail;
    __atomic_store_n(&hub->counters->tail, (uint64_t)(tail > 0 ? tail : 0),
                     __ATOMIC_RELAXED);
}

/* Up to where the stream has everything: a live one's own cursor is not moved by each row. */
static inline int64_t
stream_position(const struct stream *stream)
{
    const struct hub *hub = stream->hub;
    bool at_tail = stream->state == STREAM_LIVE && stream->cursor < hub->tail;
    return at_tail ? hub->tail : stream->cursor;
}

/* Unix milliseconds, for expires_at. */
static inline int64_t
wall_clock_ms(void)
{
    uv_timeval64_t now = {0};
    uv_gettimeofday(&now);
    return now.tv_sec * 1000 + now.tv_usec / 1000;
}

/* A number from 0 to `most`, to spread what would otherwise come all at once. */
static inline uint64_t
random_up_to(uint64_t most)
{
    uint64_t number = 0;
    uv_random(NULL, NULL, &number, sizeof number, 0, NULL);
    return most == UINT64_MAX ? number : number % (most + 1);
}

/* hub/hub.c */
struct resume_point {
    int64_t cursor;
    bool has_gap;
    struct gap gap;
    char after[GAP_ID_TEXT_MAX + 1];
};
void hub_ready(struct hub *hub, struct stream *stream); /* catch up, beginning next turn */
/* hub/admit.c: the start is known: sends the opening (a JSON document waits for its events). */
void stream_begin(struct stream *stream, const struct resume_point *start,
                  struct slice headers);

/* hub/resume.c: where a stream begins; for START_LAST only that it is to be sought from the tail
 * back. Returns 0, or -1 when the table cannot be read just now. */
int resume_resolve(struct hub *hub, const struct request *request,
                   struct resume_point *start);

/* The gap for a client that has everything up to `after`; false when nothing is missing. */
bool resume_find_gap(const struct hub *hub, int64_t after, struct resume_point *start);

/* hub/fanout.c */
void fanout_row(void *arg, const struct row *row);
void fanout_batch(void *arg, const struct store_marks *marks, int64_t tail, int64_t lost);
void fanout_reset(void *arg, const struct store_marks *marks);
/* One JSON document for a stream: headers are in the records already. */
void fanout_poll(struct hub *hub, struct stream *stream, struct slice events);

/* hub/replay_page.c: makes hub->page a page that has what this stream needs next, unless it is that
 * already. *from: the mark behind which that begins, NULL: the page's start. */
enum replay_page_result {
    REPLAY_PAGE_OK,
    REPLAY_PAGE_STALE, /* rows were deleted that the feed does not know of: let it look first */
    REPLAY_PAGE_UNREADABLE, /* the database is locked or broken; the feed was told */
    REPLAY_PAGE_NO_MEMORY
};
enum replay_page_result replay_page_prepare(struct hub *hub, const struct stream *stream,
                                            const struct mark **from);

/* hub/stream_log.c */
void stream_log_open(struct stream *stream);
void stream_log_close(struct stream *stream, enum close_reason why);

/* hub/window_warm.c */
void window_warm(struct hub *hub);

/* hub/replay.c */
void replay_throttle(struct stream *stream); /* throttled: until its pace timer */
void replay_run(struct hub *hub);
/* Tells the stream of a gap and moves its cursor. False when the stream cannot go on now. */
bool replay_tell_gap(struct stream *stream, const struct resume_point *start);
/* Keeps a gap for the JSON document to come. */
void replay_keep_gap(struct stream *stream, const struct resume_point *start);

/* hub/heartbeat.c */
void heartbeat_arm(struct hub *hub);

#endif
