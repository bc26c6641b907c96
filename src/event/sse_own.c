/* sse_own.c - rowcast's own messages to a reader, in each format: the opening, gaps, the state of a
 * table, heartbeats and the goodbye.
 *
 * hub/event_stream.c, hub/poll.c and hub/admit.c call it for one stream at a time, `rowcast tail`
 * for its gaps. Rows are in event/sse.c. When such a message is due is not decided here. */
#include "config.h"

#include "event/sse.h"

#include "base/json.h"
#include "event/sse_field.h"

#define EVENT_GAP "rowcast:gap"

/* --- the opening ------------------------------------------------------------------------------ */

static void
append_id_text(struct buf *buf, const char *id)
{
    if (id == NULL) {
        APPEND(buf, "null");
        return;
    }
    APPEND(buf, "\"");
    buf_append_text(buf, id);
    APPEND(buf, "\"");
}

static void
append_retry_line(struct buf *buf, unsigned retry_ms)
{
    APPEND(buf, "retry: ");
    buf_append_int(buf, retry_ms);
    APPEND(buf, "\n");
}

void
sse_append_open(struct buf *buf, enum format format, const struct opening *opening)
{
    if (format == FORMAT_JSON)
        return;
    if (format != FORMAT_NDJSON) {
        APPEND(buf, ": connected\n");
        append_retry_line(buf, opening->retry_ms);
        APPEND(buf, "event: rowcast:open\n");
        if (opening->last_event_id != NULL) {
            APPEND(buf, "id: ");
            buf_append_text(buf, opening->last_event_id);
            APPEND(buf, "\n");
        }
        APPEND(buf, "data: ");
    }
    APPEND(buf, "{\"last_event_id\":");
    append_id_text(buf, opening->last_event_id);
    if (opening->searched_to != NULL) {
        APPEND(buf, ",\"searched_to\":");
        append_id_text(buf, opening->searched_to);
    }
    APPEND(buf, "}\n");
    if (format != FORMAT_NDJSON)
        APPEND(buf, "\n");
}

/* --- gaps ------------------------------------------------------------------------------------- */

static const char *
reason_text(enum gap_reason reason)
{
    switch (reason) {
    case GAP_PRUNED:
        return "pruned";
    case GAP_RESET:
        return "reset";
    case GAP_BAD_ID:
        return "bad-id";
    }
    return "reset";
}

/* resumed_at is null where the client must not continue from there. */
static void
append_gap_members(struct buf *buf, const struct gap *gap)
{
    APPEND(buf, "{\"reason\":\"");
    buf_append_text(buf, reason_text(gap->reason));
    APPEND(buf, "\",\"after\":");
    json_append_string(buf, slice_of(gap->after));
    APPEND(buf, ",\"resumed_at\":");
}

static void
append_gap_object(struct buf *buf, const struct gap *gap)
{
    append_gap_members(buf, gap);
    APPEND(buf, "\"");
    buf_append_int(buf, gap->resumed_at);
    APPEND(buf, "\"}");
}

void
sse_append_gap(struct buf *buf, enum format format, const struct gap *gap)
{
    if (sse_is_event_stream(format)) {
        sse_append_id_line(buf, gap->resumed_at);
        APPEND(buf, "event: " EVENT_GAP "\ndata: ");
        append_gap_object(buf, gap);
        APPEND(buf, "\n\n");
    } else if (format == FORMAT_NDJSON) {
        APPEND(buf, "{\"gap\":");
        append_gap_object(buf, gap);
        APPEND(buf, "}\n");
    } else {
        append_gap_object(buf, gap);
    }
}

void
sse_append_gap_before_state(struct buf *buf, enum format format, const struct gap *gap)
{
    bool is_sse = sse_is_event_stream(format);
    if (is_sse)
        APPEND(buf, "event: " EVENT_GAP "\ndata: ");
    else
        APPEND(buf, "{\"gap\":");
    append_gap_members(buf, gap);
    APPEND(buf, "null}");
    buf_append_text(buf, is_sse ? "\n\n" : "}\n");
}

/* --- the state of a table ------------------------------------------------------------------ */

/* Before the rows, so that a client knows the keys when it takes them. */
static void
append_key_and_channel(struct buf *buf, const struct state_part *part)
{
    APPEND(buf, ",\"key\":[");
    for (size_t i = 0; i < part->key_count; i++) {
        buf_append_text(buf, i > 0 ? "," : "");
        json_append_string(buf, slice_of(part->key[i]));
    }
    APPEND(buf, "],\"channel\":");
    if (part->channel != NULL)
        json_append_string(buf, slice_of(part->channel));
    else
        APPEND(buf, "null");
}

static void
append_part_object(struct buf *buf, const struct state_part *part)
{
    APPEND(buf, "{\"table\":");
    json_append_string(buf, part->table);
    APPEND(buf, ",\"at\":\"");
    buf_append_int(buf, part->at);
    APPEND(buf, "\"");
    append_key_and_channel(buf, part);
    APPEND(buf, ",\"rows\":[");
    buf_append(buf, part->rows.p, part->rows.len);
    buf_append_text(buf, part->has_more ? "],\"more\":true}" : "],\"more\":false}");
}

void
sse_append_state(struct buf *buf, enum format format, const struct state_part *part)
{
    if (format == FORMAT_JSON) {
        append_part_object(buf, part);
    } else if (format == FORMAT_NDJSON) {
        APPEND(buf, "{");
        if (part->id >= 0) {
            APPEND(buf, "\"id\":\"");
            buf_append_int(buf, part->id);
            APPEND(buf, "\",");
        }
        APPEND(buf, "\"state\":");
        append_part_object(buf, part);
        APPEND(buf, "}\n");
    } else {
        if (part->id >= 0)
            sse_append_id_line(buf, part->id);
        APPEND(buf, "event: rowcast:state\ndata: ");
        append_part_object(buf, part);
        APPEND(buf, "\n\n");
    }
}

/* --- heartbeats and the goodbye -------------------------------------------------------------- */

static void
append_cursor_object(struct buf *buf, int64_t cursor)
{
    APPEND(buf, "{\"last_event_id\":\"");
    buf_append_int(buf, cursor);
    APPEND(buf, "\"}");
}

static void
append_ping(struct buf *buf, const struct heartbeat *beat)
{
    if (beat->has_moved)
        sse_append_id_line(buf, beat->cursor);
    APPEND(buf, "event: rowcast:ping\ndata: ");
    append_cursor_object(buf, beat->cursor);
    APPEND(buf, "\n\n");
}

void
sse_append_heartbeat(struct buf *buf, enum format format, const struct heartbeat *beat)
{
    if (format == FORMAT_NDJSON) {
        if (beat->ping)
            append_cursor_object(buf, beat->cursor);
        APPEND(buf, "\n");
    } else if (sse_is_event_stream(format)) {
        if (!beat->ping)
            APPEND(buf, ":\n");
        if (beat->ping || beat->has_moved)
            append_ping(buf, beat);
    }
}

void
sse_append_goodbye(struct buf *buf, enum format format, unsigned retry_ms,
                   const char *reason)
{
    if (format == FORMAT_NDJSON) {
        APPEND(buf, "\n");
    } else if (sse_is_event_stream(format)) {
        APPEND(buf, ": ");
        buf_append_text(buf, reason);
        APPEND(buf, "\n");
        append_retry_line(buf, retry_ms);
        APPEND(buf, "\n");
    }
}
