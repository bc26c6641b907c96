/* sse_parser.h - a reader of event streams, written from the HTML standard, section 9.2.6, and
 * from nothing in src/: what it gives back is what a browser would see. */
#ifndef ROWCAST_TESTS_SSE_PARSER_H
#define ROWCAST_TESTS_SSE_PARSER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct sse_event {
    struct slice type; /* "message" where the stream names none */
    struct slice data;
    struct slice id; /* the last event id, as it stands when the event is dispatched */
};

typedef void (*sse_event_fn)(void *arg, const struct sse_event *event);

/* Zero-initialise; give back with sse_parser_fini. */
struct sse_parser {
    struct buf data;
    struct buf type;
    struct buf id_buffer;     /* "last event ID buffer" */
    struct buf last_event_id; /* "last event ID string" of the EventSource */
    int64_t retry_ms;         /* 0: none was sent */
};

/* Parses a whole stream (valid UTF-8) and calls fn for each event; an unfinished last event is
 * discarded, as the standard says. */
void sse_parse(struct sse_parser *parser, struct slice stream, sse_event_fn fn, void *arg);
void sse_parser_fini(struct sse_parser *parser);

#endif
