/* stream.c - one stream's state, its writes and its end. The hub's other files decide when. */
#include "config.h"

#include "hub/stream.h"

#include <stdlib.h>

#include "hub/state.h"

const char *
close_reason_name(enum close_reason why)
{
    static const char *const names[CLOSE_REASONS] = {
        [CLOSE_READER_GONE] = "gone",    [CLOSE_ABORTED] = "aborted",
        [CLOSE_STALLED] = "stalled",     [CLOSE_DRAINED] = "drained",
        [CLOSE_AGED] = "aged",           [CLOSE_ANSWERED] = "answered",
        [CLOSE_CHANGED] = "row-changed", [CLOSE_NO_MEMORY] = "no-memory",
        [CLOSE_EXPIRED] = "expired"};
    return names[why];
}

/* --- state ------------------------------------------------------------------------------- */

static void
live_add(struct stream *stream)
{
    struct audience *audience = stream->audience;
    stream->live_index = audience->live_count;
    audience->live[audience->live_count++] = stream; /* hub_open made room */
}

/* The last one takes the free place: whoever walks the list walks it backwards. */
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
        live_remove(stream);
        break;
    case STREAM_READY:
        queue_remove(&stream->turn);
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
    if (stream->state == STREAM_CLOSED)
        return;
    if (stream->state != state)
        stream_leave_state(stream);
    else if (state == STREAM_LIVE)
        return;
    bool was_blocked = stream->state == STREAM_BLOCKED;
    hub->counters->behind -= stream->state == STREAM_READY;
    hub->counters->behind += state == STREAM_READY;
    stream->state = (uint8_t)state;

    switch (state) {
    case STREAM_LIVE:
        live_add(stream);
        break;
    case STREAM_READY:
        hub_ready(hub, stream);
        break;
    case STREAM_BLOCKED:
        output_arm(stream->output);
        queue_push(&hub->blocked, &stream->by_write);
        heartbeat_arm(hub);
        return;
    case STREAM_THROTTLED:
        break;
    case STREAM_CLOSED:
        limits_release(hub->config.limits, &stream->hold);
        queue_remove(&stream->by_write);
        queue_push(&hub->closed, &stream->turn);
        hub->counters->streams--;
        hub->counters->formats[stream->audience->format]--;
        return;
    }
    if (was_blocked) {
        queue_push(&hub->writable, &stream->by_write);
        heartbeat_arm(hub);
    }
}

/* --- extra ------------------------------------------------------------------------------- */

struct stream_extra *
stream_need_extra(struct stream *stream)
{
    if (stream->extra != NULL)
        return stream->extra;
    struct stream_extra *extra = calloc(1, sizeof *extra);
    if (extra == NULL)
        return NULL;
    uv_timer_init(stream->hub->loop, &extra->pace);
    uv_timer_init(stream->hub->loop, &extra->limit);
    extra->pace.data = extra;
    extra->limit.data = extra;
    extra->handles = 2;
    extra->stream = stream;
    stream->extra = extra;
    return extra;
}

/* --- writes ------------------------------------------------------------------------------ */

/* Books what went out: from the mark `from` to the end of the record at `mark`. */
static int
stream_book(struct stream *stream, const struct mark *from, const struct mark *mark)
{
    size_t events = mark->events - (from == NULL ? 0 : from->events);
    stream->cursor = mark->cursor;
    if (mark->last_sent_id != 0)
        stream->last_sent_id = mark->last_sent_id;
    stream->events += events;
    stream->hub->counters->events += events;
    if (mark->cut.id != 0 && stream_need_extra(stream) == NULL)
        return -1;
    if (stream->extra != NULL)
        stream->extra->cut = mark->cut;
    return 0;
}

/* Framing left out: what the reader gets. */
static void
stream_book_bytes(struct stream *stream, size_t bytes)
{
    stream->bytes += bytes;
    stream->hub->counters->bytes += bytes;
}

/* Records behind the mark `from` (NULL: from the first on), up to the one that ends at `mark`. */
static size_t
records_between(const struct records *records, const struct mark *from,
                const struct mark *mark)
{
    const struct mark *first = from == NULL ? records->marks : from + 1;
    return (size_t)(mark + 1 - first);
}

bool
stream_write(struct stream *stream, const struct records *records)
{
    return stream_write_from(stream, records, NULL);
}

bool
stream_write_from(struct stream *stream, const struct records *records,
                  const struct mark *from)
{
    struct hub *hub = stream->hub;
    size_t offset = from == NULL ? 0 : from->end;
    size_t taken = 0;
    if (stream->state == STREAM_LIVE)
        stream->cursor = hub->tail;
    if (!output_is_clear(
            stream->output)) { /* a reply of the protocol's own is in the way */
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    struct slice bytes = buf_slice(&records->bytes);
    bytes.p += offset;
    bytes.len -= offset;
    enum output_result result = output_send(stream->output, bytes, &taken);
    const struct mark *mark = taken == 0 ? NULL : records_mark(records, offset + taken);
    if (result == OUTPUT_GONE || (mark != NULL && stream_book(stream, from, mark) != 0)) {
        stream_drop(stream, result == OUTPUT_GONE ? CLOSE_READER_GONE : CLOSE_NO_MEMORY);
        return false;
    }
    stream->wrote_ms = uv_now(hub->loop);
    if (mark != NULL)
        stream_book_bytes(stream,
                          taken - RECORD_HEADER * records_between(records, from, mark));
    if (result == OUTPUT_BLOCKED) {
        /* What follows once the socket drains belongs to the same write: no throttle between. */
        if (stream->extra != NULL)
            stream->extra->paced_ms = 0;
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    queue_push(&hub->writable, &stream->by_write);
    return true;
}

bool
stream_tell(struct stream *stream, struct slice text)
{
    struct hub *hub = stream->hub;
    if (stream->state == STREAM_LIVE)
        stream->cursor = hub->tail;
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
    if (stream->state != STREAM_BLOCKED) { /* it was a reply of the protocol's own */
        if (result == OUTPUT_SENT)
            output_disarm(output);
        return;
    }
    if (output_pending_bytes(output) < before || result == OUTPUT_SENT) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->blocked, &stream->by_write);
    }
    if (result == OUTPUT_SENT)
        stream_set_state(stream, STREAM_READY);
}

static void
on_output_gone(struct output *output, enum gone_reason why)
{
    struct stream *stream = output->owner;
    if (why == GONE_ABORTED)
        stream_end(stream, CLOSE_ABORTED, NULL);
    else
        stream_lose(stream, CLOSE_READER_GONE);
}

const struct output_ops stream_output_ops = {on_output_writable, on_output_gone};

/* --- ends -------------------------------------------------------------------------------- */

/* Everything but the output, which the caller has dealt with. */
static void
stream_close(struct stream *stream, enum close_reason why)
{
    stream_log_close(stream, why);
    stream->hub->counters->closed[why]++;
    stream->output = NULL;
    stream_set_state(stream, STREAM_CLOSED);
}

void
stream_lose(struct stream *stream, enum close_reason why)
{
    if (stream->state != STREAM_CLOSED)
        stream_close(stream, why);
}

void
stream_drop(struct stream *stream, enum close_reason why)
{
    if (stream->state == STREAM_CLOSED)
        return;
    struct output *output = stream->output;
    stream_close(stream, why);
    output_drop(output);
}

/* The last words; that they do not all go out is no loss. */
static void
stream_say_goodbye(struct stream *stream, const char *goodbye)
{
    struct hub *hub = stream->hub;
    if (!output_is_clear(stream->output) || stream_is_cut(stream) || stream->is_poll)
        return;
    unsigned retry_ms = hub->config.retry_ms;
    retry_ms += (unsigned)random_up_to(retry_ms);

    buf_clear(&hub->scratch);
    sse_append_goodbye(&hub->scratch, stream->audience->format, retry_ms, goodbye);
    if (hub->scratch.failed)
        return;
    output_push_text(stream->output, buf_slice(&hub->scratch));
    stream_book_bytes(stream, hub->scratch.len);
}

void
stream_end(struct stream *stream, enum close_reason why, const char *goodbye)
{
    if (stream->state == STREAM_CLOSED)
        return;
    /* Of a document nothing is out yet, and no answer at all is an error to the browser. */
    if (stream->is_poll) {
        fanout_poll(stream->hub, stream, (struct slice){"", 0});
        return;
    }
    struct output *output = stream->output;
    if (stream->extra != NULL && stream->extra->opening.len > 0) {
        output_push_text(output, buf_slice(&stream->extra->opening));
        stream_book_bytes(stream, stream->extra->opening.len);
    }
    if (goodbye != NULL)
        stream_say_goodbye(stream, goodbye);
    if (stream->state == STREAM_BLOCKED)
        output_disarm(output);
    stream_close(stream, why);
    output_finish(output);
}
