/* intake.h - FastCGI records in: bytes from a web server to requests. Pure: no I/O.
 *
 * Eats bytes in pieces of any size and stops at each thing that somebody must act on. Params
 * are gathered without their framing and their name-value lengths are checked, so that what
 * is handed on to libfcgi (fcgi.c) is well-formed whatever came in; older versions of it
 * had a heap overflow there (CVE-2025-23016). FastCGI specification sections 3 to 5. */
#ifndef ROWCAST_INTAKE_H
#define ROWCAST_INTAKE_H

#include <stdint.h>

#include "buf.h"

#define INTAKE_PARAMS_MAX 65536 /* bytes of params in one request */
#define INTAKE_VALUES_MAX 1024  /* bytes of a GET_VALUES query that are kept */
#define INTAKE_REPLY_MAX 128
#define INTAKE_BODY_MAX 65536 /* bytes of a request's body (stdin) that are gathered */

enum intake_event {
    INTAKE_MORE,     /* all bytes are eaten */
    INTAKE_REQUEST,  /* a request is complete: params and id are set */
    INTAKE_ABORT,    /* FCGI_ABORT_REQUEST for the request being answered */
    INTAKE_REPLY,    /* send reply[]; then close if close_after */
    INTAKE_MALFORMED /* not FastCGI, or beyond our limits: close; `fault` says what */
};

enum intake_phase {
    INTAKE_IDLE,   /* waits for FCGI_BEGIN_REQUEST */
    INTAKE_PARAMS, /* inside a request, gathers params */
    INTAKE_STDIN,  /* params are complete, waits for the end of stdin */
    INTAKE_BUSY    /* the request is being answered */
};

/* What came behind the params, as FCGI_STDIN or on a CGI's standard input. */
struct intake_body {
    struct buf bytes; /* empty where it was not to be gathered, or was more than may be */
    uint64_t came;    /* how many bytes there were; under CGI only what was read */
};

struct intake_work; /* the buffers, there only while something is being gathered */

struct intake {
    struct intake_work *work;
    const char *fault;
    unsigned char header[8];
    uint8_t header_len;
    uint8_t pad_left;
    uint16_t body_left;
    uint16_t request_id;
    uint8_t phase;    /* enum intake_phase */
    bool keep_conn;   /* FCGI_KEEP_CONN of the request */
    bool close_after; /* with INTAKE_REPLY */
    bool wanted;      /* the body of the record at hand is gathered */
    bool takes_body;  /* set by the owner: the body of a POST is gathered, else skipped */
};

/* Zero-initialise; takes_body as wanted. Eats bytes from *p, *len on (both are moved on). max_conns is what
 * FCGI_GET_VALUES is told. */
enum intake_event intake_feed(struct intake *intake, const char **p, size_t *len,
                              unsigned max_conns);

/* The params of a complete request: FastCGI name-value pairs, checked. */
struct slice intake_params(const struct intake *intake);

/* Moves the body of a complete request out; before intake_set_busy. The caller frees its bytes.
 * A body that CONTENT_LENGTH says is longer than INTAKE_BODY_MAX is not gathered at all, one
 * that says nothing or too little not beyond that. */
struct intake_body intake_take_body(struct intake *intake);

/* The record to send with INTAKE_REPLY. */
struct slice intake_reply(const struct intake *intake);

/* The request's params were used: frees them and waits for the answer's end. */
void intake_set_busy(struct intake *intake);

/* The answer is out: the next request may come. */
void intake_set_idle(struct intake *intake);

/* True when something has arrived of a request that is not complete. */
bool intake_is_midway(const struct intake *intake);

void intake_fini(struct intake *intake);

#endif
