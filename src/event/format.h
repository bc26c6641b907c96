/* format.h - the representations that a reader may ask for. The rows are the same in all of
 * them; event/sse.h writes them. */
#ifndef ROWCAST_EVENT_FORMAT_H
#define ROWCAST_EVENT_FORMAT_H

enum format {
    FORMAT_SSE,      /* text/event-stream */
    FORMAT_ENVELOPE, /* text/event-stream with envelope=1: data is the row as JSON */
    FORMAT_NDJSON,   /* application/x-ndjson */
    FORMAT_JSON,     /* application/json: one document, then the end */
    FORMATS
};

#endif
