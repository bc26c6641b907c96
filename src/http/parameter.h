/* parameter.h - the values of query parameters, for http/stream_params.c alone.
 *
 * Each function returns 0, or the status of the refusal (400; 503 when out of memory) with its
 * line in *parser->error. Values are decoded; what is taken is the request's, for request_fini. */
#ifndef ROWCAST_HTTP_PARAMETER_H
#define ROWCAST_HTTP_PARAMETER_H

#include "http/start_id.h"
#include "http/stream_params.h"

struct stream_params_parser {
    struct request *request;
    const struct stream_params_text *text; /* NULL for a POST */
    struct error *error;
};

int parameter_take_channel(const struct stream_params_parser *parser, const char *value);

/* After the last channel: bounds the work that the patterns may cause. */
int parameter_compile_channels(const struct stream_params_parser *parser);

int parameter_take_since(const struct stream_params_parser *parser, struct start_id *since,
                         const char *value);
int parameter_take_ticket(const struct stream_params_parser *parser, const char *value);
int parameter_take_client(const struct stream_params_parser *parser, const char *value);

/* A table that was named before is taken once. */
int parameter_take_state(const struct stream_params_parser *parser, const char *value);

/* "bad parameter last: "x" is not a number from 1 to 1000". Returns 400. */
int parameter_refuse_value(const struct stream_params_parser *parser, const char *name,
                           const char *value, const char *problem);

/* "bad parameter last: is given twice". Returns 400. */
int parameter_refuse(const struct stream_params_parser *parser, const char *name,
                     const char *problem);

#endif
