/* http.h - asks the public URL, as a page would, and keeps the evidence.
 *
 * A build without libcurl has doctor_http_is_built false. Judging is doctor/judge.c's. Times
 * are milliseconds since a request was begun; -1: never. */
#ifndef ROWCAST_DOCTOR_HTTP_H
#define ROWCAST_DOCTOR_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "doctor/fetch.h"
#include "base/error.h"

/* Inserts the probe row when the stream is open: its id in decimal to id, or *error. */
typedef int (*http_probe_fn)(void *arg, char id[EVENTS_WORD_MAX], struct error *error);

/* What the log of the database given says, around the request for the stream. */
struct http_marks {
    bool known;
    int64_t base,
        after; /* ids: of the table's beginning, and its tail when the stream had opened */
};

typedef void (*http_marks_fn)(void *arg, struct http_marks *marks);

struct http_target {
    const char *url;
    const char *ticket;       /* NULL: none; sent as Authorization: Bearer */
    const char *ca_file;      /* NULL: the system's */
    const char *channel;      /* NULL: what the URL says; else asked for, the probe's */
    int64_t wait_ms;          /* for a heartbeat */
    http_probe_fn probe;      /* NULL: none */
    http_marks_fn read_marks; /* NULL: there is no database to compare with */
    void *arg;                /* of probe and read_marks */
};

#define HTTP_PROBES 3                /* rows that are sent where the first one comes late */
#define HTTP_HEADER_SUFFIX "-header" /* ends the made-up name that headers claim */

struct http_evidence {
    int64_t wait_ms;
    int64_t quick_ms; /* how long an answer was waited for that should come at once */
    struct http_answer health;       /* URL/health */
    struct http_answer stream;       /* until a heartbeat, and the probe if there is one */
    struct http_answer packed;       /* as a browser: with Accept-Encoding */
    struct http_answer resumed;      /* a JSON poll, its Last-Event-ID none */
    struct http_answer in_query;     /* the ticket in the query: its header was refused */
    char resume_id[EVENTS_WORD_MAX]; /* the Last-Event-ID that resumed was asked with */
    struct http_answer anonymous;    /* /whoami without any login */
    struct http_answer
        made_up; /* /whoami with a made-up login, and headers that claim one */
    char made_up_name[EVENTS_WORD_MAX];
    struct http_marks marks;
    bool probed;
    int64_t probed_ms;            /* when the last row was committed; -1: it could not be */
    int64_t late_ms[HTTP_PROBES]; /* how late each one came */
    size_t arrived;
    struct error probe_error;
};

bool doctor_http_is_built(void);

/* Asks; waits target->wait_ms for the stream and less for the others. Each connection is closed
 * when it has shown what it is for. Nothing is sent but GET. Returns 0, or -1 with *error when
 * the URL is none or memory is out; a server that does not answer is evidence, not an error. */
int doctor_http_gather(const struct http_target *target, struct http_evidence *evidence,
                       struct error *error);

#endif
