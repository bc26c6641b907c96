/* parser.h - FastCGI records in: bytes from a web server to requests. Pure: no I/O.
 *
 * Eats bytes in pieces of any size and stops at each thing that the caller must act on. Params
 * are gathered without their framing and their name-value lengths are checked, so that what is
* passed on to libfcgi (fastcgi/libfcgi.c) is well-formed whatever came in; older versions of
 * it had a heap overflow there (CVE-2025-23016). FastCGI specification sections 3 to 5. */
#ifndef ROWCAST_FASTCGI_PARSER_H
#define ROWCAST_FASTCGI_PARSER_H

#include <stdint.h>

#include "base/buf.h"
#include "fastcgi/body.h"

#define FCGI_PARSER_PARAMS_MAX 65536 /* bytes of params in one request */
#define FCGI_PARSER_VALUES_MAX 1024  /* bytes of a GET_VALUES query that are kept */
#define FCGI_PARSER_REPLY_MAX 128

enum fcgi_parser_event {
    FCGI_PARSER_MORE,     /* all bytes are eaten */
    FCGI_PARSER_REQUEST,  /* a request is complete: params and id are set */
    FCGI_PARSER_ABORT,    /* FCGI_ABORT_REQUEST for the request being answered */
    FCGI_PARSER_REPLY,    /* send reply[]; then close if close_after */
    FCGI_PARSER_MALFORMED /* not FastCGI, or beyond our limits: close; `fault` says what */
};

enum fcgi_parser_phase {
    FCGI_PARSER_IDLE,   /* waits for FCGI_BEGIN_REQUEST */
    FCGI_PARSER_PARAMS, /* inside a request, gathers params */
    FCGI_PARSER_STDIN,  /* params are complete, waits for the end of stdin */
    FCGI_PARSER_BUSY    /* the request is being answered */
};

struct fcgi_parser_work; /* the buffers, there only while something is being gathered */

struct fcgi_parser {
    struct fcgi_parser_work *work;
    const char *fault;
    unsigned char header[8];
    uint8_t header_len;
    uint8_t pad_left;
    uint16_t body_left;
    uint16_t request_id;
    uint8_t phase;    /* enum fcgi_parser_phase */
    bool keep_conn;   /* FCGI_KEEP_CONN of the request */
    bool close_after; /* with FCGI_PARSER_REPLY */
    bool wanted;      /* the body of the record at hand is gathered */
    bool takes_body;  /* set by the owner: the body of a POST is gathered, else skipped */
};

/* Zero-initialise; takes_body as wanted. Eats bytes from *p, *len on (both are moved on).
 * max_conns is the answer to FCGI_GET_VALUES. */
enum fcgi_parser_event fcgi_parser_feed(struct fcgi_parser *parser, const char **p,
                                        size_t *len, unsigned max_conns);

/* The params of a complete request: FastCGI name-value pairs, checked. */
struct slice fcgi_parser_params(const struct fcgi_parser *parser);

/* Moves the body of a complete request out; before fcgi_parser_set_busy. The caller frees its
 * bytes. A body that CONTENT_LENGTH says is longer than REQUEST_BODY_MAX is not gathered at
 * all, one that says nothing or too little not beyond that. */
struct request_body fcgi_parser_take_body(struct fcgi_parser *parser);

/* The record to send with FCGI_PARSER_REPLY. */
struct slice fcgi_parser_reply(const struct fcgi_parser *parser);

/* The request's params were used: frees them and waits for the answer's end. */
void fcgi_parser_set_busy(struct fcgi_parser *parser);

/* The answer is out: the next request may come. */
void fcgi_parser_set_idle(struct fcgi_parser *parser);

/* True when something has arrived of a request that is not complete. */
bool fcgi_parser_is_midway(const struct fcgi_parser *parser);

void fcgi_parser_fini(struct fcgi_parser *parser);

#endif
