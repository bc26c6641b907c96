/* stream.c - one stream's state, its writes and its end; see hub/stream.h. */
#include "config.h"

#include "hub/stream.h"

#include <stdlib.h>

#include "hub/client.h"
#include "hub/readers.h"
#include "hub/stream_log.h"
#include "hub/table_part.h"
#include "hub/table_state.h"
#include "hub/turns.h"

/* --- state ------------------------------------------------------------------------------- */

static void
live_add(struct stream *stream)
{
    struct audience *audience = stream->audience;
    stream->live_index = audience->live_count;
    audience->live[audience->live_count++] = stream; /* hub/admit.c made room */
}

/* The last stream moves to the free place, so a walk over the list must go backwards. */
static void
live_remove(struct stream *stream)
{
    struct audience *audience = stream->audience;
    struct stream *last = audience->live[--audience->live_count];
    audience->live[stream->live_index] = last;
    last->live_index = stream->live_index;
}

static void
stream_leave_state(struct stream *stream)
{
    switch ((enum stream_state)stream->state) {
    case STREAM_LIVE:
        stream->cursor = stream_cursor(stream);
        live_remove(stream);
        break;
    case STREAM_READY:
        turns_remove(&stream->hub->turns, stream);
        break;
    case STREAM_BLOCKED:
        if (stream->output != NULL)
            output_disarm(stream->output);
        break;
    case STREAM_THROTTLED:
        uv_timer_stop(&stream->extra->pace);
        break;
    case STREAM_CLOSED:
        break;
    }
}

void
stream_set_state(struct stream *stream, enum stream_state state)
{
    struct hub *hub = stream->hub;
    bool was_blocked = stream->state == STREAM_BLOCKED;
    if (stream->state == STREAM_CLOSED || (state == STREAM_LIVE && stream->state == state))
        return;
    stream_leave_state(stream);
    hub->counters->behind -= stream->state == STREAM_READY;
    hub->counters->behind += state == STREAM_READY;
    stream->state = (uint8_t)state;

    switch (state) {
    case STREAM_LIVE:
        stream->steps = 0;
        live_add(stream);
        break;
    case STREAM_READY:
        turns_push(&hub->turns, stream);
        break;
    case STREAM_BLOCKED:
        output_arm(stream->output);
        queue_push(&hub->blocked, &stream->by_write);
        return;
    case STREAM_THROTTLED:
        break;
    case STREAM_CLOSED:
        client_forget(stream);
        readers_tell_close(stream);
        limits_release(hub->config.limits, &stream->hold);
        queue_remove(&stream->by_write);
        queue_push(&hub->closed, &stream->turn);
        hub->counters->streams--;
        hub->counters->formats[stream->audience->format]--;
        return;
    }
    if (was_blocked)
        queue_push(&hub->writable, &stream->by_write);
}

struct stream_extra *
stream_need_extra(struct stream *stream)
{
    if (stream->extra != NULL)
        return stream->extra;
    struct stream_extra *extra = calloc(1, sizeof *extra);
    if (extra == NULL)
        return NULL;
    uv_timer_init(stream->hub->loop, &extra->pace);
    uv_timer_init(stream->hub->loop, &extra->lifetime);
    extra->pace.data = extra;
    extra->lifetime.data = extra;
    extra->handles = 2;
    extra->stream = stream;
    stream->extra = extra;
    return extra;
}

void
stream_begin(struct stream *stream, const struct resume_point *start, struct slice headers)
{
    stream->cursor = stream->started_at = stream->last_sent_id = start->cursor;
    stream->low_water = feed_marks(stream->hub->feed)->low_water;
    if (start->has_gap)
        stream->hub->counters->gaps++;
    stream_log_open(stream);
    stream->kind->begin(stream, start, headers);
}

/* --- writes ------------------------------------------------------------------------------ */

void
stream_book_bytes(struct stream *stream, size_t bytes)
{
    stream->bytes += bytes;
    stream->hub->counters->bytes += bytes;
}

bool
stream_hold(struct stream *stream, size_t bytes)
{
    struct hub *hub = stream->hub;
    hub->held += bytes - stream->extra->held;
    stream->extra->held = bytes;
    return hub->held <= STREAMS_HELD_MAX;
}

void
streams_make_room(struct hub *hub)
{
    struct queue_link *next;
    for (struct queue_link *link = queue_head(&hub->blocked);
         link != NULL && hub->held > STREAMS_HELD_MAX; link = next) {
        struct stream *stream = queue_item(link, struct stream, by_write);
        next = queue_next(&hub->blocked, link);
        if (stream->extra != NULL && stream->extra->held > 0)
            stream_drop(stream, CLOSE_NO_MEMORY);
    }
}

/* Books the records from behind the mark `from` to the one that ends at `to`. */
static int
stream_book(struct stream *stream, const struct records *records, const struct mark *from,
            const struct mark *to)
{
    const struct mark *first = from == NULL ? records->marks : from + 1;
    size_t begin = from == NULL ? 0 : from->end;
    size_t framing = RECORD_HEADER * (size_t)(to + 1 - first);
    size_t events = to->events - (from == NULL ? 0 : from->events);

    stream->cursor = to->cursor;
    if (to->last_sent_id != 0)
        stream->last_sent_id = to->last_sent_id;
    stream->events += events;
    stream->hub->counters->events += events;
    stream_book_bytes(stream, to->end - begin - framing);
    if (to->cut.id != 0 && stream_need_extra(stream) == NULL)
        return -1;
    if (stream->extra != NULL)
        stream->extra->cut = to->cut;
    return 0;
}

bool
stream_write(struct stream *stream, const struct records *records, const struct mark *from)
{
    struct hub *hub = stream->hub;
    size_t begin = from == NULL ? 0 : from->end;
    struct slice bytes = {records->bytes.p + begin, records->bytes.len - begin};
    size_t taken = 0;

    /* a live stream's cursor is not up to date; a mark moves it from here */
    stream->cursor = stream_cursor(stream);
    enum output_result result = output_send(stream->output, bytes, &taken);
    const struct mark *to = taken == 0 ? NULL : records_mark(records, begin + taken);
    if (result == OUTPUT_GONE ||
        (to != NULL && stream_book(stream, records, from, to) != 0)) {
        stream_drop(stream, result == OUTPUT_GONE ? CLOSE_READER_GONE : CLOSE_NO_MEMORY);
        return false;
    }
    stream->wrote_ms = uv_now(hub->loop);
    if (result == OUTPUT_BLOCKED) {
        /* Rows that follow when the socket drains are of the same write: throttle= allows them. */
        if (stream->extra != NULL)
            stream->extra->paced_ms = 0;
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    queue_push(&hub->writable, &stream->by_write);
    return true;
}

bool
stream_write_text(struct stream *stream, struct slice text)
{
    struct hub *hub = stream->hub;
    enum output_result result = output_push_text(stream->output, text);
    if (result == OUTPUT_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return false;
    }
    stream->wrote_ms = uv_now(hub->loop);
    stream_book_bytes(stream, text.len);
    if (result == OUTPUT_BLOCKED) {
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    queue_push(&hub->writable, &stream->by_write);
    return true;
}

/* --- for the connection ------------------------------------------------------------------ */

static void
on_output_writable(struct output *output)
{
    struct stream *stream = output->owner;
    struct hub *hub = stream->hub;
    size_t before = output_pending_bytes(output);
    enum output_result result = output_flush(output);
    if (result == OUTPUT_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return;
    }
    if (stream->state != STREAM_BLOCKED) { /* a reply of the protocol's own was pending */
        if (result == OUTPUT_SENT)
            output_disarm(output);
        return;
    }
    if (output_pending_bytes(output) < before || result == OUTPUT_SENT) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->blocked, &stream->by_write);
    }
    if (result == OUTPUT_SENT && stream->extra != NULL)
        stream_hold(stream, 0);
    if (result == OUTPUT_SENT)
        stream_set_state(stream, STREAM_READY);
}

static void
on_output_gone(struct output *output, enum gone_reason why)
{
    struct stream *stream = output->owner;
    if (why == GONE_ABORTED)
        stream->kind->end(stream, CLOSE_ABORTED, NULL);
    else
        stream_lose(stream, CLOSE_READER_GONE);
}

const struct output_ops stream_output_ops = {on_output_writable, on_output_gone};

/* --- ends -------------------------------------------------------------------------------- */

void
stream_lose(struct stream *stream, enum close_reason why)
{
    struct hub *hub = stream->hub;
    if (stream->state == STREAM_CLOSED)
        return;
    stream_log_close(stream, why);
    hub->counters->closed[why]++;
    if (stream->extra != NULL)
        stream_hold(stream, 0);
    stream->output = NULL;
    stream_set_state(stream, STREAM_CLOSED);
}

void
stream_drop(struct stream *stream, enum close_reason why)
{
    struct output *output = stream->output;
    if (stream->state == STREAM_CLOSED)
        return;
    stream_lose(stream, why);
    output_drop(output);
}

void
stream_finish(struct stream *stream, enum close_reason why)
{
    struct output *output = stream->output;
    if (stream->state == STREAM_CLOSED)
        return;
    if (stream->state == STREAM_BLOCKED)
        output_disarm(output);
    stream_lose(stream, why);
    output_finish(output);
}

static void
on_extra_closed(uv_handle_t *handle)
{
    struct stream_extra *extra = handle->data;
    if (--extra->handles > 0)
        return;
    buf_fini(&extra->headers);
    buf_fini(&extra->rows);
    buf_fini(&extra->parts);
    table_state_fini(&extra->tables);
    free(extra);
}

void
stream_free(struct stream *stream)
{
    struct hub *hub = stream->hub;
    queue_remove(&stream->turn);
    if (stream->extra != NULL) {
        stream->extra->stream = NULL;
        uv_close((uv_handle_t *)&stream->extra->pace, on_extra_closed);
        uv_close((uv_handle_t *)&stream->extra->lifetime, on_extra_closed);
    }
    if (hub->page.audience == stream->audience)
        hub->page.audience = NULL; /* another audience may get the same memory */
    table_parts_forget(hub, stream->audience);
    audiences_leave(hub->audiences, stream->audience);
    free(stream->address);
    free(stream);
}
