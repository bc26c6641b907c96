/* sse.h - a row (event/sse.c) or a message of rowcast's own (event/sse_own.c) as the bytes of an
 * event. Pure.
 *
 * Each function appends one whole block to a buffer (buf->failed says if memory ran out) in the
 * given format. HTML standard 9.2.5 and 9.2.6 (Server-sent events: parsing, interpreting) are
 * the rules; nothing that a row holds can start a new field or a new event, and all that is
 * written is valid UTF-8 (a bad sequence becomes U+FFFD; so does NUL, CR or LF in an event
 * name, which only a foreign table can hold). One space follows each colon, so that leading
 * spaces of a value survive; an empty line of data is a bare `data:`. For FORMAT_JSON a row is
 * the bare object, without a line end: the caller joins them. */
#ifndef ROWCAST_EVENT_SSE_H
#define ROWCAST_EVENT_SSE_H

#include <stdint.h>

#include "base/buf.h"
#include "event/format.h"
#include "event/row.h"

#define GAP_ID_TEXT_MAX 64 /* bytes of a client's own id that a gap quotes back */

enum gap_reason { GAP_PRUNED, GAP_RESET, GAP_BAD_ID };

/* Events for the client may be missing (doc/PROTOCOL.md, "Gaps"). */
struct gap {
    enum gap_reason reason;
    char after[GAP_ID_TEXT_MAX + 1]; /* what the client had: its id as text, any bytes */
    int64_t resumed_at;              /* the cursor from which the stream continues */
};

/* id:, event: (none where NULL or empty), one data: line for each line of data (CRLF, CR and
 * LF each end a line); a row whose data was too large to be read becomes
 * `event: rowcast:too-large` with data {"id":"N","bytes":SIZE,"limit":max_event_bytes}. With
 * FORMAT_ENVELOPE the data is the row as a JSON object, NDJSON is that object and LF:
 * {"id":"7","channel":"orders","event":"paid","data":"...","created_at":1763769600058}
 * with event "message" where NULL, channel null where NULL, created_at null where not known
 * (0). A row that was too large is there {"id":"7","channel":"orders",
 * "event":"rowcast:too-large","data":"{\"id\":\"7\",\"bytes\":SIZE,\"limit\":LIMIT}",...}. */
void sse_append_row(struct buf *buf, enum format format, const struct row *row,
                    size_t max_event_bytes);

/* The opening block: `: connected`, retry:, event: rowcast:open, id:, data:
 * {"last_event_id":"N"}. NDJSON: {"last_event_id":"N"} and LF. JSON: nothing. Where last=N was
 * cut short the object has a second member, "searched_to":"N". */
struct opening {
    unsigned retry_ms;
    const char *last_event_id; /* a decimal number as text; NULL: not known yet */
    const char *searched_to;   /* likewise; NULL: none */
};
void sse_append_open(struct buf *buf, enum format format, const struct opening *opening);

/* `event: rowcast:gap`; NDJSON {"gap":{...}} and LF; JSON the bare inner object. */
void sse_append_gap(struct buf *buf, enum format format, const struct gap *gap);

/* The same without an id: before the state of a table, which has it at its end. */
void sse_append_gap_before_state(struct buf *buf, enum format format,
                                 const struct gap *gap);

/* A part of a table's state (doc/PROTOCOL.md, "The state of a table"): the event rowcast:state, in
 * NDJSON the line {"state":{...}}, in a JSON document the object alone. */
struct state_part {
    struct slice table;
    int64_t at;             /* the cursor of the part's snapshot */
    const char *const *key; /* the key's columns, */
    size_t key_count;    /* so many: by them a client finds the row that a change is for */
    const char *channel; /* of all its changes; NULL: each row has its own */
    struct slice rows;   /* JSON objects, joined by commas */
    bool has_more;
    int64_t
        id; /* the cursor that the stream continues from, in the last part of all; -1: none */
};
void sse_append_state(struct buf *buf, enum format format, const struct state_part *part);

/* A heartbeat: the comment line `:` alone (NDJSON: an empty line). ping, or has_moved (the cursor
 * moved on over rows that were not for this stream): an event `rowcast:ping`, data
 * {"last_event_id":"N"}, with an id: line where has_moved. A block without data would do for the
 * HTML standard's parser, but two widely used clients make an empty event of each empty line, and
 * their pages throw in JSON.parse. NDJSON with ping: the line {"last_event_id":"N"}. */
struct heartbeat {
    int64_t cursor;
    bool has_moved;
    bool ping;
};
void sse_append_heartbeat(struct buf *buf, enum format format,
                          const struct heartbeat *beat);

/* The last words of a stream that is sent away: a comment with the reason (ASCII, no line
 * ends) and retry: in milliseconds. NDJSON: an empty line. JSON: nothing. */
void sse_append_goodbye(struct buf *buf, enum format format, unsigned retry_ms,
                        const char *reason);

#endif
