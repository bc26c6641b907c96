/* request.h - CGI parameters to a validated request. Pure: no I/O.
 *
 * Takes what the web server says (RFC 3875 meta-variables: REQUEST_METHOD, PATH_INFO,
 * QUERY_STRING, HTTP_*, REMOTE_USER, REMOTE_ADDR, and the server-set ROWCAST_CHANNELS,
 * ROWCAST_ADMIN) and gives either a request or an HTTP status with one line that names the
 * bad parameter. doc/PROTOCOL.md is the contract. */
#ifndef ROWCAST_HTTP_REQUEST_H
#define ROWCAST_HTTP_REQUEST_H

#include <stdint.h>

#include "base/error.h"
#include "event/filter.h"
#include "event/format.h"
#include "event/sse.h"
#include "event/start.h"

enum request_method { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_POST, METHOD_DELETE };
enum request_resource {
    RESOURCE_STREAM,
    RESOURCE_HEALTH,
    RESOURCE_METRICS,
    RESOURCE_STATUS,
    RESOURCE_WHOAMI,
    RESOURCE_READ, /* read marks */
    RESOURCE_PUSH  /* subscriptions to Web Push */
};

#define REQUEST_WAIT_MAX_S 60
#define REQUEST_LAST_MAX 1000
#define REQUEST_THROTTLE_MAX_MS 3600000
#define REQUEST_AGE_MAX_MS (INT64_C(100) * 365 * 86400 * 1000)
#define REQUEST_QUERY_MAX 8192 /* bytes of QUERY_STRING */
#define REQUEST_CLIENT_MAX 64  /* bytes of client= */
#define REQUEST_STATES_MAX 8   /* times that state= may be given */
#define REQUEST_STATE_NAME_MAX 256
#define REQUEST_MAX_STREAMS_MAX 1000000

/* What only publishing (publish/check.h) looks at, as it came; not copied: it lives as long as
 * envp. NULL: not there. */
struct request_post {
    const char *content_type;
    const char *content_length;
    const char *host;       /* HTTP_HOST */
    const char *https;      /* HTTPS, as the web server sets it */
    const char *fetch_site; /* HTTP_SEC_FETCH_SITE */
};

struct request {
    enum request_method method;
    enum request_resource resource;
    enum format format;
    const char *media_type; /* the name that the client has for the format; static */
    bool wants_html;        /* Accept prefers text/html: for the status page */
    bool wants_events;      /* or text/event-stream: for the status as it changes */

    struct filter filter; /* requested patterns, location bound, user */
    enum start_kind start;
    int64_t start_value; /* id, milliseconds or count: see start_kind */
    /* START_AFTER, START_BAD_ID: the id as the client sent it, cut; a gap event has it. */
    char start_text[GAP_ID_TEXT_MAX + 1];

    /* state=: tables whose rows the stream begins with. Owned. */
    char *states[REQUEST_STATES_MAX];
    size_t state_count;
    bool is_unreadable; /* for the caller to set: their database cannot be read just now */

    bool ping;            /* ping=1 */
    uint32_t throttle_ms; /* throttle=; 0: none */
    uint32_t wait_s;      /* wait=; only with FORMAT_JSON */

    /* client=, or NULL; owned: the page's name for itself. Its next stream takes this
     * one's place. */
    char *client;

    uint64_t
        max_streams; /* ROWCAST_MAX_STREAMS from the web server; 0: no limit of its own */
    bool admin;      /* ROWCAST_ADMIN=1 from the web server */
    char *ticket;    /* ticket= as sent, or NULL; owned */
    char *authorization; /* HTTP_AUTHORIZATION, or NULL; owned */
    char *cookie;        /* HTTP_COOKIE, or NULL; owned */
    char *origin;        /* HTTP_ORIGIN, or NULL; owned */
    char *address;       /* REMOTE_ADDR, or NULL; owned */
    /* Access-Control-Request-Method and -Headers of a CORS preflight, or NULL; owned */
    char *cors_method;
    char *cors_headers;

    /* For the caller to set: its address has come too often, and should stay away for so long; 0:
     * it may continue. */
    uint64_t too_often_ms;

    /* Set by access_check, from a ticket. */
    bool has_ticket;       /* one was sent, good or bad */
    int64_t expires_at_ms; /* Unix time when the stream must end; 0: never */
    bool by_ticket;        /* the ticket says who the user is */
    int64_t issued_at_ms;  /* Unix time of its iat; 0: it has none */

    /* Publishing. What may be published: by the web server's ROWCAST_PUBLISH, and by a ticket's
     * claim; looked at only where has_... says so. Set for a POST and for RESOURCE_WHOAMI. */
    struct patterns publish;
    struct patterns ticket_publish;
    bool has_publish;
    bool has_ticket_publish;
    bool takes_post; /* for the caller to set: POST is among the methods that Allow names */
    struct request_post post;
};

/* mount (NULL: none) is cut off where PATH_INFO begins with it, for web servers that do not
 * split the path. Reads the parameters in `envp` ("NAME=value" strings, NULL-terminated, as
 * FastCGI and CGI both give them; copied, not kept). Returns 0, or the HTTP status of the
 * refusal (400, 404, 405, 406) with its one-line text in *error, 500 (see below), 503 (out of
 * memory). *request is set up in either case (method and origin as far as they were read, for
 * CORS) and must be given to request_fini. OPTIONS (a CORS preflight) has its query and Accept
 * not looked at; only the stream resource (and whoami, which answers what a stream with the
 * same query may) has query parameters and can be refused by Accept. POST is let through for
 * the stream's path, with no more than ticket= taken from the query; whether it is allowed at
 * all is the caller's business, the body publish/check.h's. Likewise GET, POST and DELETE of the
 * subscriptions to Web Push (push/endpoint.h).
 *
 * What the web server sets (REMOTE_USER, ROWCAST_CHANNELS, ROWCAST_ADMIN, ROWCAST_PUBLISH,
 * ROWCAST_MAX_STREAMS) decides who may what. Given twice with different values it is anybody's
 * guess which one was meant, so that is refused (500), and so is a ROWCAST_CHANNELS or
 * ROWCAST_PUBLISH that cannot be understood: never more rights than were meant. An empty
 * ROWCAST_CHANNELS bounds to nothing, an empty REMOTE_USER is no user. Of HTTP_LAST_EVENT_ID
 * given twice the higher one counts, of other variables the first.
 *
 * Rules in short: a parameter that is not ours is refused (400), with the nearest of ours, except
 * for those that pages add against caches; one of ours given twice, where it is not repeatable, is
 * refused (400), as is
 * one with a bad value, or a bad percent escape or NUL in it; "+" is a space; boolean
 * parameters take 0 or 1. since=ID is a cursor, with the same promises as Last-Event-ID. An
 * empty Last-Event-ID is none. The header wins over last_event_id=, that wins over since=,
 * since= together with last= is refused. wait= with another format than JSON is refused. */
int request_parse(struct request *request, const char *const *envp, const char *mount,
                  struct error *error);
void request_fini(struct request *request);

#endif
