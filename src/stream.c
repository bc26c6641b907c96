/* stream.c - one stream's state, its writes and its end. The hub's other files decide when. */
#include "config.h"

#include "stream.h"

#include <stdlib.h>

#include "hub_internal.h"

const char *
close_why_name(enum close_why why)
{
    static const char *const names[CLOSE_WHYS] = {
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
        if (stream->wire != NULL)
            stream->wire->ops->want_write(stream->wire, false);
        break;
    case STREAM_RESTING:
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
        stream->wire->ops->want_write(stream->wire, true);
        queue_push(&hub->stuck, &stream->by_write);
        pulse_arm(hub);
        return;
    case STREAM_RESTING:
        break;
    case STREAM_CLOSED:
        quota_release(hub->config.limits, &stream->hold);
        queue_remove(&stream->by_write);
        queue_push(&hub->closed, &stream->turn);
        hub->counters->streams--;
        hub->counters->formats[stream->audience->format]--;
        return;
    }
    if (was_blocked) {
        queue_push(&hub->quiet, &stream->by_write);
        pulse_arm(hub);
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
    if (mark->told != 0)
        stream->told = mark->told;
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
    if (!wire_is_clear(stream->wire)) { /* a reply of the protocol's own is in the way */
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    struct slice bytes = buf_slice(&records->bytes);
    bytes.p += offset;
    bytes.len -= offset;
    enum wire_result result = wire_send(stream->wire, bytes, &taken);
    const struct mark *mark = taken == 0 ? NULL : records_mark(records, offset + taken);
    if (result == WIRE_GONE || (mark != NULL && stream_book(stream, from, mark) != 0)) {
        stream_drop(stream, result == WIRE_GONE ? CLOSE_READER_GONE : CLOSE_NO_MEMORY);
        return false;
    }
    stream->wrote_ms = uv_now(hub->loop);
    if (mark != NULL)
        stream_book_bytes(stream,
                          taken - RECORD_HEADER * records_between(records, from, mark));
    if (result == WIRE_BLOCKED) {
        /* What follows once the socket drains belongs to the same write: no throttle between. */
        if (stream->extra != NULL)
            stream->extra->paced_ms = 0;
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    queue_push(&hub->quiet, &stream->by_write);
    return true;
}

bool
stream_tell(struct stream *stream, struct slice text)
{
    struct hub *hub = stream->hub;
    if (stream->state == STREAM_LIVE)
        stream->cursor = hub->tail;
    enum wire_result result = wire_push_text(stream->wire, text);
    if (result == WIRE_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return false;
    }
    stream->wrote_ms = uv_now(hub->loop);
    stream_book_bytes(stream, text.len);
    if (result == WIRE_BLOCKED) {
        stream_set_state(stream, STREAM_BLOCKED);
        return false;
    }
    queue_push(&hub->quiet, &stream->by_write);
    return true;
}

/* --- ends -------------------------------------------------------------------------------- */

/* Everything but the wire, which the caller has dealt with. */
static void
stream_close(struct stream *stream, enum close_why why)
{
    stream_log_close(stream, why);
    stream->hub->counters->closed[why]++;
    stream->wire = NULL;
    stream_set_state(stream, STREAM_CLOSED);
}

void
stream_lose(struct stream *stream, enum close_why why)
{
    if (stream->state != STREAM_CLOSED)
        stream_close(stream, why);
}

void
stream_drop(struct stream *stream, enum close_why why)
{
    if (stream->state == STREAM_CLOSED)
        return;
    struct wire *wire = stream->wire;
    stream_close(stream, why);
    wire->reader = NULL;
    wire->ops->drop(wire);
}

/* The last words; that they do not all go out is no loss. */
static void
stream_say_goodbye(struct stream *stream, const char *goodbye)
{
    struct hub *hub = stream->hub;
    if (!wire_is_clear(stream->wire) || stream_is_cut(stream) || stream->once)
        return;
    unsigned retry_ms = hub->config.retry_ms;
    retry_ms += (unsigned)random_up_to(retry_ms);

    buf_clear(&hub->scratch);
    sse_append_goodbye(&hub->scratch, stream->audience->format, retry_ms, goodbye);
    if (hub->scratch.failed)
        return;
    wire_push_text(stream->wire, buf_slice(&hub->scratch));
    stream_book_bytes(stream, hub->scratch.len);
}

void
stream_end(struct stream *stream, enum close_why why, const char *goodbye)
{
    if (stream->state == STREAM_CLOSED)
        return;
    /* Of a document nothing is out yet, and no answer at all is an error to the browser. */
    if (stream->once) {
        fanout_document(stream->hub, stream, (struct slice){"", 0});
        return;
    }
    struct wire *wire = stream->wire;
    if (stream->extra != NULL && stream->extra->opening.len > 0) {
        wire_push_text(wire, buf_slice(&stream->extra->opening));
        stream_book_bytes(stream, stream->extra->opening.len);
    }
    if (goodbye != NULL)
        stream_say_goodbye(stream, goodbye);
    if (stream->state == STREAM_BLOCKED)
        wire->ops->want_write(wire, false);
    enum wire_result result = wire_end(wire);
    stream_close(stream, why);
    wire->reader = NULL;
    if (result == WIRE_GONE)
        wire->ops->drop(wire);
    else
        wire->ops->release(wire);
}
