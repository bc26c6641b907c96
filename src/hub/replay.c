/* replay.c - streams that are behind: resume, history, slow readers, throttled ones.
 *
 * One path for all of them: a page of rows after the cursor, from the window where it reaches
 * back so far, else from the table; written; and again in the next turn, until the cursor is
 * at the tail and the stream goes live. Each turn does a bounded amount of work, so that a
 * million rows for one stream delay nobody else. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/state.h"

#define SEEK_ROWS 1000  /* looked at in one step back */
#define TURN_NS 2000000 /* a turn's catch-up: 2 ms, at least one page */
#define BUSY_RETRY_MS 20
#define BURST_WAIT_MS 5

/* --- an event of which a part is out --------------------------------------------------------- */

struct event_reader {
    struct hub *hub;
    enum format format;
    bool found;
};

static enum store_step
event_take_row(void *arg, const struct row *row)
{
    struct event_reader *reader = arg;
    struct buf *scratch = &reader->hub->scratch;
    buf_clear(scratch);
    sse_append_row(scratch, reader->format, row, reader->hub->config.max_event_bytes);
    reader->found = true;
    return STORE_STOP;
}

/* Puts the event's bytes into hub->scratch. */
static enum store_result
event_fetch(struct hub *hub, const struct stream *stream, bool *found)
{
    int64_t id = stream->extra->cut.id;
    struct event_reader reader = {hub, stream->audience->format, false};
    size_t i = window_find(hub->window, id - 1);
    if (i < window_count(hub->window) && window_at(hub->window, i)->row.id == id) {
        event_take_row(&reader, &window_at(hub->window, i)->row);
        *found = true;
        return STORE_OK;
    }
    struct store *store = feed_store(hub->feed);
    if (store == NULL)
        return STORE_BUSY;
    struct store_range range = {.after = id - 1, .up_to = id, .max_rows = 1};
    struct store_progress progress;
    struct error error = {""};
    enum store_result result =
        store_read_range(store, &range, event_take_row, &reader, &progress, &error);
    if (result != STORE_OK)
        feed_report(hub->feed, result, &error);
    *found = reader.found;
    return result;
}

/* Goes on inside the event. It was never kept: it is made again, and must be the same. */
static enum store_result
replay_finish_event(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct cut cut = stream->extra->cut;
    bool found = false;
    enum store_result result = event_fetch(hub, stream, &found);
    if (result != STORE_OK)
        return result;
    struct slice event = buf_slice(&hub->scratch);
    if (!found || hub->scratch.failed || event.len != cut.len ||
        records_hash(event) != cut.hash) {
        stream_drop(stream, CLOSE_CHANGED);
        return STORE_OK;
    }
    records_start(&hub->small, stream->cursor);
    records_add_event(&hub->small, cut.id, event, cut.offset);
    if (records_finish(&hub->small) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return STORE_OK;
    }
    stream->extra->cut.id = 0;
    if (!stream_write(stream, &hub->small) && stream->state == STREAM_BLOCKED &&
        stream->cursor < cut.id && stream->extra->cut.id == 0)
        stream->extra->cut = cut; /* not one record of it could be begun */
    return STORE_OK;
}

/* --- gaps ---------------------------------------------------------------------------------- */

void
replay_keep_gap(struct stream *stream, const struct resume_point *start)
{
    struct stream_extra *extra = stream->extra;
    assert(extra != NULL); /* as every stream that is one document has it */
    if (extra->has_gap)
        return; /* the first one says it all: rows after it are missing */
    extra->has_gap = true;
    extra->gap_reason = start->gap.reason;
    extra->gap_resumed_at = start->gap.resumed_at;
    snprintf(extra->gap_after, sizeof extra->gap_after, "%s", start->after);
}

bool
replay_tell_gap(struct stream *stream, const struct resume_point *start)
{
    struct hub *hub = stream->hub;
    hub->counters->gaps++;
    stream->low_water = feed_marks(hub->feed)->low_water;
    stream->epoch = hub->epoch;
    stream->cursor = start->cursor;
    if (stream->is_poll) {
        replay_keep_gap(stream, start);
        return true;
    }
    buf_clear(&hub->scratch);
    sse_append_gap(&hub->scratch, stream->audience->format, &start->gap);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return false;
    }
    stream->last_sent_id = start->cursor;
    return stream_tell(stream, buf_slice(&hub->scratch));
}

/* What happened to the rows behind the cursor since it was taken? True when the stream may go
 * on in this turn. */
static bool
replay_check_gap(struct stream *stream)
{
    struct hub *hub = stream->hub;
    const struct store_marks *marks = feed_marks(hub->feed);
    bool replaced = stream->epoch != hub->epoch;
    bool pruned = marks->low_water > stream->cursor && marks->low_water > stream->low_water;
    if (!replaced && !pruned)
        return true;
    if (stream_is_cut(stream)) {
        stream_drop(stream, CLOSE_CHANGED); /* its client comes back and is told then */
        return false;
    }
    struct resume_point start = {0};
    if (!resume_find_gap(hub, stream->cursor, &start)) {
        stream->epoch = hub->epoch; /* the new database knows the cursor: nothing is lost */
        return true;
    }
    return replay_tell_gap(stream, &start);
}

/* --- last=N -------------------------------------------------------------------------------- */

struct seeker {
    struct stream *stream;
    int64_t now_ms;
};

static enum store_step
seek_take_row(void *arg, const struct row *row)
{
    struct seeker *seeker = arg;
    struct stream_extra *extra = seeker->stream->extra;
    if (row_is_expired(row, seeker->now_ms) ||
        !filter_matches(&seeker->stream->audience->filter, row->channel, row->recipient))
        return STORE_MORE;
    extra->seek_found = row->id - 1;
    return --extra->seek_left > 0 ? STORE_MORE : STORE_STOP;
}

/* One page further back; when enough rows were found the stream begins. */
static enum store_result
replay_seek(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct stream_extra *extra = stream->extra;
    struct store *store = feed_store(hub->feed);
    if (store == NULL)
        return STORE_BUSY;
    struct seeker seeker = {stream, wall_clock_ms()};
    uint32_t left = extra->seek_left;
    int64_t found = extra->seek_found;
    struct store_range range = {.after = INT64_MIN,
                                .up_to = extra->seek_at,
                                .max_rows = SEEK_ROWS,
                                .narrow = &stream->audience->filter,
                                .collapse = true,
                                .newest = hub->tail}; /* as replay will */
    struct store_progress progress = {0};
    struct error error = {""};
    enum store_result result =
        store_read_back(store, &range, seek_take_row, &seeker, &progress, &error);
    if (result != STORE_OK) {
        extra->seek_left = left; /* the page is read again, and its rows are counted then */
        extra->seek_found = found;
        feed_report(hub->feed, result, &error);
        return result;
    }
    if (extra->seek_left > 0 && !progress.complete) {
        extra->seek_at = progress.last - 1;
        stream_set_state(stream, STREAM_READY);
        return STORE_OK;
    }
    extra->seek_left = 0;
    struct resume_point start = {.cursor = extra->seek_found};
    struct buf headers = {0};
    if (!stream->is_poll) {
        headers = extra->opening;
        extra->opening = (struct buf){0};
    }
    stream_begin(stream, &start, buf_slice(&headers));
    buf_fini(&headers);
    return STORE_OK;
}

/* --- one stream's turn ----------------------------------------------------------------------- */

static void
on_pace(uv_timer_t *timer)
{
    struct stream_extra *extra = timer->data;
    if (extra->stream != NULL && extra->stream->state == STREAM_THROTTLED)
        stream_set_state(extra->stream, STREAM_READY);
}

void
replay_throttle(struct stream *stream)
{
    struct stream_extra *extra = stream->extra;
    uint64_t now = uv_now(stream->hub->loop);
    uint64_t due = extra->paced_ms + extra->throttle_ms;
    stream_set_state(stream, STREAM_THROTTLED);
    uv_timer_start(&extra->pace, on_pace, due > now ? due - now : 0, 0);
}

static bool
replay_must_throttle(const struct stream *stream)
{
    const struct stream_extra *extra = stream->extra;
    return extra != NULL && extra->throttle_ms > 0 &&
           uv_now(stream->hub->loop) - extra->paced_ms < extra->throttle_ms;
}

/* A page for a JSON document: the first with events in it is the answer, and so is the tail. */
static void
replay_poll(struct stream *stream)
{
    struct hub *hub = stream->hub;
    const struct records *records = &hub->page.records;
    int64_t cursor = records->cursor;
    assert(stream->extra != NULL); /* as every stream that is one document has it */
    if (records->events == 0 && cursor < hub->tail) {
        stream->cursor = cursor;
        stream_set_state(stream, STREAM_READY);
        return;
    }
    if (records->events == 0 && !stream->extra->has_gap &&
        uv_is_active((uv_handle_t *)&stream->extra->limit)) {
        stream_set_state(stream, STREAM_LIVE); /* a long poll waits; a gap is news enough */
        return;
    }
    struct buf events = {0};
    records_append_bodies(records, &events);
    stream->cursor = cursor;
    stream->events += records->events;
    hub->counters->events += records->events;
    if (events.failed)
        stream_drop(stream, CLOSE_NO_MEMORY);
    else
        fanout_poll(hub, stream, buf_slice(&events));
    buf_fini(&events);
}

/* The cursor is one that was given out, but not yet by this hub, which is in the middle of a long
 * burst: until it is there, its rows are old for this stream. */
static void
replay_await_hub(struct stream *stream)
{
    struct stream_extra *extra = stream_need_extra(stream);
    if (extra == NULL) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream_set_state(stream, STREAM_THROTTLED);
    uv_timer_start(&extra->pace, on_pace, BURST_WAIT_MS, 0);
}

/* The feed looks, and the stream is judged anew by what it finds. */
static enum store_result
replay_refresh(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct store_marks before = *feed_marks(hub->feed);
    feed_look(hub->feed);
    const struct store_marks *now = feed_marks(hub->feed);
    if (now->low_water == before.low_water && now->base == before.base)
        return STORE_BUSY; /* it could not look */
    stream_set_state(stream, STREAM_READY);
    return STORE_OK;
}

static enum store_result
replay_send_page(struct stream *stream)
{
    struct hub *hub = stream->hub;
    if (stream->cursor > hub->tail) {
        replay_await_hub(stream);
        return STORE_OK;
    }
    if (!stream->is_poll && stream->cursor >= hub->tail) {
        stream_set_state(stream, STREAM_LIVE);
        return STORE_OK;
    }
    if (replay_must_throttle(stream)) {
        replay_throttle(stream);
        return STORE_OK;
    }
    const struct mark *from;
    switch (replay_page_prepare(hub, stream, &from)) {
    case REPLAY_PAGE_OK:
        break;
    case REPLAY_PAGE_STALE:
        return replay_refresh(stream);
    case REPLAY_PAGE_UNREADABLE:
        return STORE_BUSY;
    case REPLAY_PAGE_NO_MEMORY:
        stream_drop(stream, CLOSE_NO_MEMORY);
        return STORE_OK;
    }
    if (stream->is_poll) {
        replay_poll(stream);
        return STORE_OK;
    }
    const struct records *records = &hub->page.records;
    if (records->events == 0) {
        stream->cursor = records->cursor;
    } else {
        if (stream->extra != NULL)
            stream->extra->paced_ms = uv_now(hub->loop);
        if (!stream_write_from(stream, records, from))
            return STORE_OK;
    }
    stream_set_state(stream, stream->cursor >= hub->tail ? STREAM_LIVE : STREAM_READY);
    return STORE_OK;
}

/* The next step of a stream that was taken off the ready queue. */
static enum store_result
replay_step(struct stream *stream)
{
    if (stream->extra != NULL && stream->extra->seek_left > 0)
        return replay_seek(stream);
    if (!replay_check_gap(stream))
        return STORE_OK;
    if (stream_is_cut(stream)) {
        enum store_result result = replay_finish_event(stream);
        if (result == STORE_OK && stream->state == STREAM_READY)
            stream_set_state(stream, STREAM_READY);
        return result;
    }
    return replay_send_page(stream);
}

static void
on_retry(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    struct queue_link *link = queue_head(&hub->ready);
    if (link != NULL)
        hub_ready(hub, queue_item(link, struct stream, turn));
}

void
replay_run(struct hub *hub)
{
    uint64_t began = uv_hrtime();
    struct queue_link *link;
    while ((link = queue_head(&hub->ready)) != NULL) {
        struct stream *stream = queue_item(link, struct stream, turn);
        queue_remove(link);
        if (replay_step(stream) != STORE_OK && stream->state == STREAM_READY) {
            /* Locked or broken: everybody waits a little, heartbeats go on meanwhile. */
            queue_push(&hub->ready, &stream->turn);
            uv_idle_stop(&hub->idle);
            uv_timer_start(&hub->retry, on_retry, BUSY_RETRY_MS, 0);
            return;
        }
        if (uv_hrtime() - began > TURN_NS)
            return;
    }
}
