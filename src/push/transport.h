/* transport.h - requests to push services through libcurl, many at once on libuv's loop.
 *
 * Connections are kept and shared, over HTTP/2 where the service speaks it. No redirect is
 * followed, no proxy of the environment used, no cookie kept; an address is looked at when the
 * socket is made. An answer is bounded in time and size. */
#ifndef ROWCAST_PUSH_TRANSPORT_H
#define ROWCAST_PUSH_TRANSPORT_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/slice.h"
#include "push/message.h"

#define TRANSPORT_CONNECT_MS 10000
#define TRANSPORT_TOTAL_MS 30000
#define TRANSPORT_BODY_MAX 16384 /* bytes of an answer that are taken; then it is cut off */
#define TRANSPORT_HEADER_MAX 32768
#define TRANSPORT_FIELD_MAX 64

struct transport;

/* False where rowcast was built without libcurl: transport_new fails then, and says so. */
bool transport_is_built(void);

/* ca_file: certificates of authorities that are trusted instead of the system's, NULL: those. */
struct transport *transport_new(uv_loop_t *loop, const char *ca_file, struct error *error);

/* Closes all connections; `done` is called for the requests that are open, with status 0. The loop
 * must run once more for its handles. NULL is harmless. */
void transport_free(struct transport *transport);

struct transport_answer {
    int status;                            /* of a complete header; 0: there was none */
    char retry_after[TRANSPORT_FIELD_MAX]; /* "": none */
    char why[TRANSPORT_FIELD_MAX]; /* with status 0: what went wrong; no part of the URL */
};
typedef void (*transport_done_fn)(void *arg, const struct transport_answer *answer);

struct transport_request {
    const char *url;
    bool may_be_private;                         /* the host is listed as a whole origin */
    const char *authorization, *urgency, *topic; /* topic NULL: none */
    int64_t ttl_s;
    struct slice body;
    transport_done_fn done;
    void *arg;
};

/* Copies what it needs. `done` is called once, from the loop. Returns 0, or -1 when out of
 * memory. */
int transport_send(struct transport *transport, const struct transport_request *request);

#endif
