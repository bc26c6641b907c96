/* sse_field.h - what event/sse.c (rows) and event/sse_own.c (rowcast's own messages) share. No
 * other file includes it. */
#ifndef ROWCAST_EVENT_SSE_FIELD_H
#define ROWCAST_EVENT_SSE_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "event/format.h"

/* Appends a string literal. */
#define APPEND(buf, literal) buf_append(buf, literal, sizeof(literal) - 1)

/* Whether it is written as fields of an event stream; the others are JSON. */
static inline bool
sse_is_event_stream(enum format format)
{
    return format == FORMAT_SSE || format == FORMAT_ENVELOPE;
}

static inline void
sse_append_id_line(struct buf *buf, int64_t id)
{
    APPEND(buf, "id: ");
    buf_append_int(buf, id);
    APPEND(buf, "\n");
}

#endif
