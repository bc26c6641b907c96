/* start_id.h - the start of a stream, from a parameter or a header. Pure: no I/O. */
#ifndef ROWCAST_HTTP_START_ID_H
#define ROWCAST_HTTP_START_ID_H

#include <stdint.h>

#include "event/sse.h"
#include "event/start.h"

/* start, start_value and start_text of struct request. */
struct start_id {
    enum start_kind kind; /* START_TAIL: it says nothing */
    int64_t value;
    char text[GAP_ID_TEXT_MAX + 1];
};

/* A bad id is not refused; the stream begins with a gap. A client that stored a wrong id must
 * learn of its loss like others, and not be refused for ever.
 *
 * A list ("5, 9") comes from a client or a proxy that has joined two headers (RFC 9110 section
 * 5.3). The client has had all up to the highest. */
struct start_id start_id_parse(const char *text);

/* since=: all, an id, or an age of at most REQUEST_AGE_MAX_MS. Returns 0, or -1 when it is none. */
int start_id_parse_since(const char *text, struct start_id *since);

/* Which of two values of Last-Event-ID is further on. */
const char *start_id_further(const char *a, const char *b);

#endif
