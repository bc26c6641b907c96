/* sse.c - a row as a Server-Sent Event, a JSON line or a JSON object.
 *
 * The window calls it once for each row, replay for each row of a page; all streams of a format
 * then share the bytes. Whatever a foreign table holds, the output is one well-formed block: bad
 * UTF-8 is repaired, and a line end inside a field ends that line only. What rowcast itself has to
 * say (the opening, gaps, heartbeats) is in event/sse_own.c. */
#include "config.h"

#include "event/sse.h"

#include "base/json.h"
#include "event/sse_field.h"

#define BLOCK_OVERHEAD 160 /* bytes of a block beside channel, event and data, rounded up */

#define EVENT_MESSAGE "message"
#define EVENT_TOO_LARGE "rowcast:too-large"

/* --- fields --------------------------------------------------------------------------------- */

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
    sse_append_id_line(buf, row->id);
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
    if (sse_is_event_stream(format))
        append_block(buf, format, row, &message);
    else
        append_object(buf, row, &message);
    if (format == FORMAT_NDJSON)
        APPEND(buf, "\n");
    if (scratch.failed)
        buf->failed = true;
    buf_fini(&scratch);
}
