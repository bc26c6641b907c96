/* stream_params.h - the parameters of a stream: query string, Accept, Last-Event-ID. Pure: no I/O.
 *
 * The second half of http/request.h, which has the rules. */
#ifndef ROWCAST_HTTP_STREAM_PARAMS_H
#define ROWCAST_HTTP_STREAM_PARAMS_H

#include "http/request.h"

/* As the client sent them; what is not there is empty. */
struct stream_params_text {
    const char *query;
    const char *accept;
    const char *last_event_id;
};

/* Sets the request's format, patterns, start and the rest of what a query can say. Returns 0, or
 * the status of the refusal (400, 406; 503 when out of memory) with its line in *error. What was
 * taken until then is the request's, for request_fini. */
int stream_params_parse(struct request *request, const struct stream_params_text *text,
                        struct error *error);

/* The same for a POST, which publishes: only ticket= means something in its query. What belongs
 * into the body is refused (400), as it would be lost. */
int stream_params_parse_post(struct request *request, const char *query,
                             struct error *error);

#endif
