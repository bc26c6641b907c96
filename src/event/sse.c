/* sse.c - rows and rowcast's own messages as Server-Sent Events, JSON lines or JSON objects.
 *
 * The window calls it once for each row, replay for each row of a page; all streams of a format
 * then share the bytes. Whatever a foreign table holds, the output is one well-formed block: bad
 * UTF-8 is repaired, and a line end inside a field ends that line only. */
#include "config.h"

#include "event/sse.h"

#include "base/json.h"

#define BLOCK_OVERHEAD 160 /* bytes of a block beside channel, event and data, rounded up */

#define EVENT_MESSAGE "message"
#define EVENT_TOO_LARGE "rowcast:too-large"
#define EVENT_GAP "rowcast:gap"

#define APPEND(buf, literal) buf_append(buf, literal, sizeof(literal) - 1)

static bool
is_event_stream(enum format format)
{
    return format == FORMAT_SSE || format == FORMAT_ENVELOPE;
}

/* --- fields --------------------------------------------------------------------------------- */

static void
append_id_line(struct buf *buf, int64_t id)
{
    APPEND(buf, "id: ");
    buf_append_int(buf, id);
    APPEND(buf, "\n");
}

static void
append_event_line(struct buf *buf, struct slice event)
{
    size_t done = 0;

    APPEND(buf, "event: ");
    for (size_t i = 0; i < event.len; i++) {
        char c = event.p[i];
        if (c != '\0' && c != '\r' && c != '\n')
            continue;
        utf8_append(buf, (struct slice){event.p + done, i - done});
        APPEND(buf, "\xEF\xBF\xBD");
        done = i + 1;
    }
    utf8_append(buf, (struct slice){event.p + done, event.len - done});
    APPEND(buf, "\n");
}

static void
append_data_line(struct buf *buf, struct slice line)
{
    if (line.len == 0) {
        APPEND(buf, "data:\n");
        return;
    }
    APPEND(buf, "data: ");
    utf8_append(buf, line);
    APPEND(buf, "\n");
}

/* Cuts the first line off *rest. *ended says whether a line end (CRLF, CR or LF) was there, so
 * that text that ends in one has an empty line after it, as the parser joins lines with LF.
 * *cr is the next CR as memchr found it, kept from line to line: looking for one again in each
 * line would make data of many LF lines quadratic. */
static struct slice
cut_line(struct slice *rest, const char **cr, bool *ended)
{
    const char *end = rest->p + rest->len;
    const char *lf = memchr(rest->p, '\n', rest->len);
    const char *stop = lf;

    if (*cr != NULL && *cr < rest->p)
        *cr = memchr(rest->p, '\r', rest->len);
    if (*cr != NULL && (lf == NULL || *cr < lf))
        stop = *cr;

    struct slice line = {rest->p, (size_t)((stop != NULL ? stop : end) - rest->p)};
    *ended = stop != NULL;
    const char *next = end;
    if (stop != NULL)
        next = *stop == '\r' && stop + 1 < end && stop[1] == '\n' ? stop + 2 : stop + 1;
    *rest = (struct slice){next, (size_t)(end - next)};
    return line;
}

static void
append_data_lines(struct buf *buf, struct slice data)
{
    const char *cr = memchr(data.p, '\r', data.len);
    bool ended;

    do {
        struct slice line = cut_line(&data, &cr, &ended);
        append_data_line(buf, line);
    } while (ended);
}

/* --- rows ------------------------------------------------------------------------------------- */

static void
append_too_large(struct buf *buf, const struct row *row, size_t limit)
{
    APPEND(buf, "{\"id\":\"");
    buf_append_int(buf, row->id);
    APPEND(buf, "\",\"bytes\":");
    buf_append_int(buf, (int64_t)row->data_bytes);
    APPEND(buf, ",\"limit\":");
    buf_append_int(buf, (int64_t)limit);
    APPEND(buf, "}");
}

/* The event's type and data as every format writes them. scratch holds the data of a row that was
 * too large, and is the caller's to free. */
struct message {
    struct slice event; /* NULL: the unnamed message */
    struct slice data;
};

static struct message
tell(const struct row *row, size_t limit, struct buf *scratch)
{
    struct message message = {row->event, row->data};

    if (row->too_large) {
        append_too_large(scratch, row, limit);
        message.event = slice_of(EVENT_TOO_LARGE);
        message.data = buf_slice(scratch);
    }
    if (message.event.len == 0)
        message.event = (struct slice){NULL, 0};
    if (message.data.p == NULL)
        message.data = slice_of("");
    return message;
}

static void
append_object(struct buf *buf, const struct row *row, const struct message *message)
{
    APPEND(buf, "{\"id\":\"");
    buf_append_int(buf, row->id);
    APPEND(buf, "\",\"channel\":");
    if (row->channel.p != NULL)
        json_append_string(buf, row->channel);
    else
        APPEND(buf, "null");
    APPEND(buf, ",\"event\":");
    json_append_string(buf,
                       message->event.p != NULL ? message->event : slice_of(EVENT_MESSAGE));
    APPEND(buf, ",\"data\":");
    json_append_string(buf, message->data);
    APPEND(buf, ",\"created_at\":");
    if (row->created_at != 0)
        buf_append_int(buf, row->created_at);
    else
        APPEND(buf, "null");
    APPEND(buf, "}");
}

/* An event-stream block: its data are lines, or the row as an object. */
static void
append_block(struct buf *buf, enum format format, const struct row *row,
             const struct message *message)
{
    append_id_line(buf, row->id);
    if (message->event.p != NULL)
        append_event_line(buf, message->event);
    if (format == FORMAT_ENVELOPE) {
        APPEND(buf, "data: ");
        append_object(buf, row, message);
        APPEND(buf, "\n");
    } else {
        append_data_lines(buf, message->data);
    }
    APPEND(buf, "\n");
}

void
sse_append_row(struct buf *buf, enum format format, const struct row *row,
               size_t max_event_bytes)
{
    struct buf scratch = {0};
    struct message message = tell(row, max_event_bytes, &scratch);

    /* Enough for nearly every row: growing step by step would copy the bytes again. */
    buf_reserve(buf,
                BLOCK_OVERHEAD + row->channel.len + message.event.len + message.data.len);
    if (is_event_stream(format))
        append_block(buf, format, row, &message);
    else
        append_object(buf, row, &message);
    if (format == FORMAT_NDJSON)
        APPEND(buf, "\n");
    if (scratch.failed)
        buf->failed = true;
    buf_fini(&scratch);
}

/* --- our own words ---------------------------------------------------------------------------- */

static void
append_cursor_object(struct buf *buf, int64_t cursor)
{
    APPEND(buf, "{\"last_event_id\":\"");
    buf_append_int(buf, cursor);
    APPEND(buf, "\"}");
}

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
    if (is_event_stream(format)) {
        append_id_line(buf, gap->resumed_at);
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
    bool is_sse = is_event_stream(format);
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
            append_id_line(buf, part->id);
        APPEND(buf, "event: rowcast:state\ndata: ");
        append_part_object(buf, part);
        APPEND(buf, "\n\n");
    }
}

static void
append_ping(struct buf *buf, const struct heartbeat *beat)
{
    if (beat->has_moved)
        append_id_line(buf, beat->cursor);
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
    } else if (is_event_stream(format)) {
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
    } else if (is_event_stream(format)) {
        APPEND(buf, ": ");
        buf_append_text(buf, reason);
        APPEND(buf, "\n");
        append_retry_line(buf, retry_ms);
        APPEND(buf, "\n");
    }
}
