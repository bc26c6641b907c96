/* event_stream.c - the words of a stream that stays open: opening block, gaps, pages of rows,
 * heartbeats and a goodbye. SSE or NDJSON; what they look like is in event/sse.h. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "hub/stream.h"
#include "hub/throttle.h"

/* The id in the opening block. Before a gap it is the client's own id: a client that loses the
 * connection between the two sends this id again, and gets the gap event again. (An id that is not
 * a number cannot be sent back.) */
static void
opening_id(char id[GAP_ID_TEXT_MAX + 1], const struct resume_point *start)
{
    if (start->has_gap && start->gap.reason != GAP_BAD_ID)
        snprintf(id, GAP_ID_TEXT_MAX + 1, "%s", start->gap.after);
    else
        snprintf(id, GAP_ID_TEXT_MAX + 1, "%" PRId64, start->cursor);
}

/* Before the state of tables the opening has no id: a client that loses the connection then begins
 * again. */
static void
append_gap(const struct stream *stream, const struct gap *gap)
{
    struct buf *text = &stream->hub->scratch;
    enum format format = stream->audience->format;
    if (stream_reads_tables(stream))
        sse_append_gap_before_state(text, format, gap);
    else
        sse_append_gap(text, format, gap);
}

/* Headers, the opening block and the gap if there is one, in one write. */
static void
event_stream_begin(struct stream *stream, const struct resume_point *start,
                   struct slice headers)
{
    struct hub *hub = stream->hub;
    enum format format = stream->audience->format;
    char id[GAP_ID_TEXT_MAX + 1];
    char searched_to[24];
    bool is_before_state = stream_reads_tables(stream);
    struct opening opening = {hub->config.retry_ms, is_before_state ? NULL : id, NULL};

    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    opening_id(id, start);
    if (start->is_cut_short) {
        snprintf(searched_to, sizeof searched_to, "%" PRId64, start->searched_to);
        opening.searched_to = searched_to;
    }
    sse_append_open(&hub->scratch, format, &opening);
    if (start->has_gap)
        append_gap(stream, &start->gap);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    throttle_note_write(stream);
    if (!stream_write_text(stream, buf_slice(&hub->scratch)))
        return;
    /* A stream at the tail has nothing to replay and waits for no turn. */
    bool is_at_tail =
        stream->cursor == hub_tail(hub) && stream->epoch == hub->epoch && !is_before_state;
    stream_set_state(stream, is_at_tail ? STREAM_LIVE : STREAM_READY);
}

static bool
event_stream_take_gap(struct stream *stream, const struct gap *gap)
{
    struct hub *hub = stream->hub;
    buf_clear(&hub->scratch);
    append_gap(stream, gap);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return false;
    }
    if (!stream_reads_tables(stream))
        stream->last_sent_id = gap->resumed_at;
    return stream_write_text(stream, buf_slice(&hub->scratch));
}

static void
event_stream_take_page(struct stream *stream, const struct mark *from)
{
    struct hub *hub = stream->hub;
    const struct records *records = &hub->page.records;
    if (records->events == 0) {
        stream->cursor = records->cursor;
    } else {
        throttle_note_write(stream);
        if (!stream_write(stream, records, from))
            return;
    }
    stream_set_state(stream, stream->cursor >= hub_tail(hub) ? STREAM_LIVE : STREAM_READY);
}

static void
event_stream_take_part(struct stream *stream, const struct state_part *part)
{
    struct hub *hub = stream->hub;
    buf_clear(&hub->scratch);
    sse_append_state(&hub->scratch, stream->audience->format, part);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    if (part->id >= 0)
        stream->last_sent_id = part->id;
    if (stream_write_text(stream, buf_slice(&hub->scratch)))
        stream_set_state(stream, STREAM_READY);
    else if (stream->state == STREAM_BLOCKED &&
             !stream_hold(stream, output_pending_bytes(stream->output)))
        streams_make_room(hub);
}

static void
event_stream_beat(struct stream *stream)
{
    struct hub *hub = stream->hub;
    if (stream_is_cut(stream) || stream_is_searching(stream) ||
        stream_reads_tables(stream) || !output_is_clear(stream->output)) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->writable, &stream->by_write);
        return;
    }
    int64_t cursor = stream_cursor(stream);
    struct heartbeat heartbeat = {
        .cursor = cursor, .has_moved = cursor > stream->last_sent_id, .ping = stream->ping};
    buf_clear(&hub->scratch);
    sse_append_heartbeat(&hub->scratch, stream->audience->format, &heartbeat);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->last_sent_id = cursor;
    stream_write_text(stream, buf_slice(&hub->scratch));
}

/* If the last words do not all go out, the client loses nothing. */
static void
event_stream_end(struct stream *stream, enum close_reason why, const char *words)
{
    struct hub *hub = stream->hub;
    struct slice goodbye;
    buf_clear(&hub->scratch);
    if (stream->extra != NULL) /* the headers of a search that has not ended */
        buf_append(&hub->scratch, stream->extra->headers.p, stream->extra->headers.len);
    if (words != NULL && output_is_clear(stream->output) && !stream_is_cut(stream)) {
        unsigned retry_ms = hub->config.retry_ms;
        retry_ms += (unsigned)random_up_to(retry_ms);
        sse_append_goodbye(&hub->scratch, stream->audience->format, retry_ms, words);
    }
    goodbye = buf_slice(&hub->scratch);
    if (!hub->scratch.failed && goodbye.len > 0) {
        output_push_text(stream->output, goodbye);
        stream_book_bytes(stream, goodbye.len);
    }
    stream_finish(stream, why);
}

const struct stream_kind event_stream_kind = {true,
                                              event_stream_begin,
                                              event_stream_take_gap,
                                              event_stream_take_page,
                                              event_stream_take_part,
                                              event_stream_beat,
                                              event_stream_end};
