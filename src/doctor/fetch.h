/* fetch.h - one GET of `rowcast doctor`: what came, and when.
 *
 * Only doctor/fetch.c and doctor/http.c include curl.h. Nothing is judged here. Times are
 * milliseconds since the request was begun; -1: never. */
#ifndef ROWCAST_DOCTOR_FETCH_H
#define ROWCAST_DOCTOR_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/events.h"
#include "base/error.h"

#define HTTP_FIELD_MAX 200
#define HTTP_BODY_MAX 400

/* Why there was no answer. */
enum http_failure {
    HTTP_NO_FAILURE, /* it answered, or is silent: see status and end */
    HTTP_REFUSED,    /* no program listens there */
    HTTP_UNKNOWN_HOST,
    HTTP_UNTRUSTED, /* TLS: no connection, or a certificate that is not good */
    HTTP_BROKEN     /* anything else: closed without an answer, not HTTP */
};

/* How the body came to its end. */
enum http_end {
    HTTP_OPEN, /* it did not: doctor closed the connection */
    HTTP_ENDED,
    HTTP_CUT /* without the end that HTTP's framing promises */
};

struct http_answer {
    bool asked;
    enum http_failure failure;
    char failure_text[HTTP_FIELD_MAX];
    enum http_end end;
    int status;                                  /* 0: no header came */
    int version;                                 /* 10, 11, 20, 30 */
    int64_t header_ms, body_ms, last_ms, end_ms; /* header, first byte, last byte, end */
    bool has_length;
    char type[HTTP_FIELD_MAX], encoding[HTTP_FIELD_MAX], cache[HTTP_FIELD_MAX];
    char server[HTTP_FIELD_MAX], via[HTTP_FIELD_MAX], location[HTTP_FIELD_MAX];
    char body[HTTP_BODY_MAX]; /* the first bytes, as text */
    size_t body_len;
    struct doctor_events events;
};

/* What a request waits for, at the longest for limit_ms, or for limit_ms after a probe. */
enum fetch_until {
    FETCH_END,     /* the end of a short answer */
    FETCH_OPENING, /* of a stream */
    FETCH_LIFE     /* a heartbeat, and events.probe if it is set */
};

struct fetch {
    const char *url;
    const char *accept;         /* NULL: text/event-stream */
    const char *const *headers; /* more, NULL-terminated; NULL: none */
    const char *ticket;         /* NULL: none; sent as Authorization: Bearer */
    const char *user;           /* NULL: none; a login with this name, and it as password */
    const char *ca_file;        /* NULL: the system's */
    enum fetch_until until;
    int64_t limit_ms;
    /* NULL, or called after each piece once the opening is there. It may set events->probe, and
     * probe_ms back to -1 to have another one waited for. Returns whether it did: the probe has
     * limit_ms from then, however long its INSERT took. */
    bool (*on_piece)(void *arg, struct doctor_events *events, int64_t began_ms);
    void *arg;
};

/* Milliseconds on the clock that began_ms is of. */
int64_t doctor_clock_ms(void);

/* Follows no redirect and closes the connection. Returns 0, or -1 with *error when memory is
 * out; a server that does not answer is a result too. */
int doctor_fetch(const struct fetch *fetch, struct http_answer *answer,
                 struct error *error);

#endif
