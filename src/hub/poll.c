/* poll.c - a stream that is one JSON document (doc/PROTOCOL.md, "Polling"): a page of rows, where to
 * go on, and the end.
 *
 * It is opened, replayed and woken like any other stream (hub/stream.h); it waits at the tail only
 * with wait=. Its document is complete or not sent at all: it holds what one page holds, and the
 * next poll brings more. What the reader does not take at once is kept by the output; the stream
 * stays open and BLOCKED meanwhile, so that it counts to the limits and --stall-timeout ends it. */
#include "config.h"

#include "hub/stream.h"

/* Bytes that all polls together may keep for readers that do not take them. */
#define POLL_UNREAD_MAX ((size_t)64 * 1024 * 1024)

/* --- the answer ---------------------------------------------------------------------------- */

static void
append_document(struct buf *to, const struct stream *stream, const struct records *rows)
{
    const struct resume_point *start = &stream->extra->start;
    /* Ended before its start was found: to go on from the tail would lose rows. */
    if (stream_is_searching(stream))
        buf_append_text(to, "{\"last_event_id\":null,\"gap\":");
    else
        buf_printf(
            to, "{\"last_event_id\":\"%lld\",\"gap\":", (long long)stream_cursor(stream));
    if (start->has_gap)
        sse_append_gap(to, FORMAT_JSON, &start->gap);
    else
        buf_append_text(to, "null");
    if (start->is_cut_short)
        buf_printf(to, ",\"searched_to\":\"%lld\"", (long long)start->searched_to);
    buf_append_text(to, ",\"events\":[");
    if (rows != NULL)
        records_append_bodies(rows, to);
    buf_append_text(to, "]}\n");
}

static void
on_answer_writable(struct output *output)
{
    struct stream *stream = output->owner;
    struct hub *hub = stream->hub;
    size_t before = output_pending_bytes(output);
    switch (output_flush(output)) {
    case OUTPUT_SENT:
        stream_lose(stream, CLOSE_ANSWERED);
        output_release(output);
        break;
    case OUTPUT_BLOCKED:
        if (output_pending_bytes(output) < before) {
            stream->wrote_ms = uv_now(hub->loop);
            queue_push(&hub->blocked, &stream->by_write);
        }
        break;
    case OUTPUT_GONE:
        stream_drop(stream, CLOSE_READER_GONE);
        break;
    }
}

static void
on_answer_gone(struct output *output, enum gone_reason why)
{
    stream_lose(output->owner, why == GONE_ABORTED ? CLOSE_ABORTED : CLOSE_READER_GONE);
    if (why == GONE_ABORTED)
        output_release(output);
}

/* The document is with the output, to the last byte. */
static const struct output_ops answer_ops = {on_answer_writable, on_answer_gone};

/* rows: those of the document; NULL: none. */
static void
poll_answer(struct stream *stream, const struct records *rows)
{
    struct hub *hub = stream->hub;
    struct stream_extra *extra = stream->extra;
    struct buf *text = &extra->headers;
    struct output *output = stream->output;

    append_document(text, stream, rows);
    if (text->failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream_book_bytes(stream, text->len);
    enum output_result result = output_push_answer(output, buf_slice(text));
    size_t unread = output_pending_bytes(output);
    buf_fini(text);
    if (result == OUTPUT_GONE || hub->unread + unread > POLL_UNREAD_MAX) {
        stream_drop(stream, result == OUTPUT_GONE ? CLOSE_READER_GONE : CLOSE_NO_MEMORY);
        return;
    }
    if (result == OUTPUT_SENT) {
        stream_lose(stream, CLOSE_ANSWERED);
        output_release(output);
        return;
    }
    extra->is_answered = true;
    extra->unread = unread;
    hub->unread += unread;
    stream->wrote_ms = uv_now(hub->loop);
    uv_timer_stop(&extra->lifetime);
    output_set_owner(output, &answer_ops, stream);
    stream_set_state(stream, STREAM_BLOCKED);
}

/* --- the kind ------------------------------------------------------------------------------ */

static bool
poll_take_gap(struct stream *stream, const struct gap *gap)
{
    struct resume_point *start = &stream->extra->start;
    if (!start->has_gap) /* the first one says it all: rows after it are missing */
        start->gap = *gap;
    start->has_gap = true;
    return true;
}

static void
poll_begin(struct stream *stream, const struct resume_point *start, struct slice headers)
{
    struct stream_extra *extra = stream->extra;
    extra->start = *start;
    buf_clear(&extra->headers);
    buf_append(&extra->headers, headers.p, headers.len);
    stream_set_state(stream, STREAM_READY);
}

/* The first page with rows in it is the answer, and so is the tail, unless there is time to wait. */
static void
poll_take_page(struct stream *stream, const struct mark *from)
{
    struct hub *hub = stream->hub;
    const struct records *records = &hub->page.records;
    (void)from; /* a document begins with its page */

    if (records->events == 0 && records->cursor < hub_tail(hub)) {
        stream->cursor = records->cursor;
        stream_set_state(stream, STREAM_READY);
        return;
    }
    bool may_wait = uv_is_active((uv_handle_t *)&stream->extra->lifetime);
    if (records->events == 0 && may_wait && !stream->extra->start.has_gap) {
        stream_set_state(stream, STREAM_LIVE);
        return;
    }
    stream->cursor = records->cursor;
    stream->events += records->events;
    hub->counters->events += records->events;
    poll_answer(stream, records);
}

/* Nothing is written before the answer. */
static void
poll_beat(struct stream *stream)
{
    stream->wrote_ms = uv_now(stream->hub->loop);
    queue_push(&stream->hub->writable, &stream->by_write);
}

/* No answer at all would be an error to the browser, so the document comes without rows. */
static void
poll_end(struct stream *stream, enum close_reason why, const char *words)
{
    struct output *output = stream->output;
    (void)words;
    if (!stream->extra->is_answered) {
        poll_answer(stream, NULL);
        return;
    }
    output_disarm(output);
    stream_lose(stream, why);
    output_release(output);
}

const struct stream_kind poll_kind = {false,          poll_begin, poll_take_gap,
                                      poll_take_page, poll_beat,  poll_end};
