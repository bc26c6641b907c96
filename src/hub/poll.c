/* poll.c - a stream that is one JSON document (doc/PROTOCOL.md, "Polling"): a page of rows,
 * where to continue, and the end.
 *
 * It is opened, replayed and woken like any other stream (hub/stream.h); it waits at the tail only
 * with wait=. Its document is complete or not sent at all: it holds what one page holds, and the
 * next poll brings more. What the reader does not take at once is kept by the output; the stream
 * stays open and BLOCKED meanwhile, so that it counts to the limits and --stall-timeout ends it. */
#include "config.h"

#include "hub/stream.h"

#define POLL_STATE_MAX ((size_t)4 * 1024 * 1024) /* bytes of tables' state in a document */

/* --- the answer ---------------------------------------------------------------------- */

/* Appends the state of the tables; null if it is too long for one document. */
static void
append_state(struct buf *to, const struct stream_extra *extra)
{
    if (extra->tables.count == 0 || (extra->parts.len == 0 && !extra->tables.is_reading))
        return;
    buf_append_text(to, ",\"state\":");
    if (extra->tables.is_reading) {
        buf_append_text(to, "null");
        return;
    }
    buf_append_text(to, "[");
    buf_append(to, extra->parts.p, extra->parts.len);
    buf_append_text(to, "]");
    to->failed |= extra->parts.failed;
}

static void
append_document(struct buf *to, const struct stream *stream)
{
    const struct stream_extra *extra = stream->extra;
    const struct resume_point *start = &extra->start;
    /* The poll ends before its start is known: to continue from the tail would lose rows. */
    if (stream_is_searching(stream) || stream_reads_tables(stream))
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
    append_state(to, extra);
    buf_append_text(to, ",\"events\":[");
    buf_append(to, extra->rows.p, extra->rows.len);
    to->failed |= extra->rows.failed;
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

/* The output has the whole document and flushes it. */
static const struct output_ops answer_ops = {on_answer_writable, on_answer_gone};

static void
poll_answer(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct stream_extra *extra = stream->extra;
    struct buf *text = &extra->headers;
    struct output *output = stream->output;

    append_document(text, stream);
    buf_fini(&extra->rows);
    buf_fini(&extra->parts);
    if (text->failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream_book_bytes(stream, text->len);
    enum output_result result = output_push_answer(output, buf_slice(text));
    size_t unread = output_pending_bytes(output);
    buf_fini(text);
    if (result == OUTPUT_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return;
    }
    if (result == OUTPUT_SENT) {
        stream_lose(stream, CLOSE_ANSWERED);
        output_release(output);
        return;
    }
    extra->is_answered = true;
    stream->wrote_ms = uv_now(hub->loop);
    uv_timer_stop(&extra->lifetime);
    output_set_owner(output, &answer_ops, stream);
    stream_set_state(stream, STREAM_BLOCKED);
    if (!stream_hold(stream, unread))
        streams_make_room(hub);
}

/* --- the kind ------------------------------------------------------------------------ */

static bool
poll_take_gap(struct stream *stream, const struct gap *gap)
{
    struct resume_point *start = &stream->extra->start;
    /* these rows come before the gap; the next poll gets the gap */
    if (stream->extra->rows.len > 0) {
        stream->cursor = stream->extra->rows_cursor;
        poll_answer(stream);
        return false;
    }
    buf_clear(&stream->extra->parts); /* the tables are read again */
    stream_hold(stream, 0);
    if (!start
             ->has_gap) /* the first gap is enough: it says that rows after it are missing */
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

static void
poll_take_part(struct stream *stream, const struct state_part *part)
{
    struct stream_extra *extra = stream->extra;
    if (extra->parts.len > 0)
        buf_append_text(&extra->parts, ",");
    sse_append_state(&extra->parts, FORMAT_JSON, part);
    bool has_room = stream_hold(stream, extra->parts.len);
    if (has_room && extra->parts.len <= POLL_STATE_MAX && !extra->parts.failed) {
        stream_set_state(stream, STREAM_READY);
        return;
    }
    extra->tables.is_reading = true; /* the document lacks a part of the state */
    poll_answer(stream);
}

/* Adds the page's rows to the document. */
static void
poll_take_rows(struct stream *stream, const struct records *records)
{
    struct stream_extra *extra = stream->extra;
    if (records->events == 0)
        return;
    if (extra->rows.len > 0)
        buf_append_text(&extra->rows, ",");
    records_append_bodies(records, &extra->rows);
    extra->rows_cursor = records->cursor;
    stream->events += records->events;
    stream->hub->counters->events += records->events;
}

/* A turn may end a page early, so pages are added up until the document is as large as a page may
 * be, or the tail is reached. At the tail a document without rows is sent, unless there is time to
 * wait. A gap is sent at once. */
static void
poll_take_page(struct stream *stream, const struct mark *from)
{
    struct hub *hub = stream->hub;
    struct stream_extra *extra = stream->extra;
    (void)from; /* a document begins with its page */

    stream->cursor = hub->page.records.cursor;
    poll_take_rows(stream, &hub->page.records);
    bool is_at_tail = stream->cursor >= hub_tail(hub);
    bool is_full = extra->rows.len >= hub->page.most_bytes || extra->rows.failed;
    bool may_wait = uv_is_active((uv_handle_t *)&extra->lifetime);
    if (!is_at_tail && !is_full)
        stream_set_state(stream, STREAM_READY);
    else if (extra->rows.len == 0 && extra->parts.len == 0 && may_wait &&
             !extra->start.has_gap)
        stream_set_state(stream, STREAM_LIVE);
    else
        poll_answer(stream);
}

/* Nothing is written before the answer. */
static void
poll_beat(struct stream *stream)
{
    stream->wrote_ms = uv_now(stream->hub->loop);
    queue_push(&stream->hub->writable, &stream->by_write);
}

/* Without an answer the browser would report an error, so the document comes without rows. */
static void
poll_end(struct stream *stream, enum close_reason why, const char *words)
{
    struct output *output = stream->output;
    (void)words;
    if (!stream->extra->is_answered) {
        poll_answer(stream);
        return;
    }
    output_disarm(output);
    stream_lose(stream, why);
    output_release(output);
}

const struct stream_kind poll_kind = {
    false, poll_begin, poll_take_gap, poll_take_page, poll_take_part, poll_beat, poll_end};
