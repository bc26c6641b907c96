/* gateway.h - connections from the web server: accept, requests in, hang-ups.
 *
 * Hands each complete request to a callback, together with the output to answer on, and calls
 * the output's owner when it may write again and when the peer is gone. Everything runs on the
 * loop's thread; nothing blocks. */
#ifndef ROWCAST_FASTCGI_GATEWAY_H
#define ROWCAST_FASTCGI_GATEWAY_H

#include <uv.h>

#include "base/error.h"
#include "fastcgi/body.h"
#include "fastcgi/listen.h"
#include "base/log.h"
#include "fastcgi/output.h"

struct gateway;

/* A request. envp ("NAME=value", NULL-terminated) is valid until the callback returns. It must
 * answer on the output, or become its owner and do so later. The body's bytes are the gateway's,
 * and there are some only with takes_body. */
typedef void (*gateway_request_fn)(void *arg, struct output *output,
                                   const char *const *envp,
                                   const struct request_body *body);

/* An answer is not taken yet: it may wait when the first one says so, else it is cut. The
 * second one is called when it is out, or cut, after all. Both may use output->tag; it is zero
 * when no request was judged. */
struct gateway_waiting {
    bool (*may_wait)(void *arg, struct output *output);
    void (*waited)(void *arg, struct output *output);
};

struct gateway_config {
    uint64_t request_timeout_ms; /* for a request to arrive whole */
    uint64_t stall_ms; /* an answer of which nothing is taken for so long; 0: never */
    struct gateway_waiting waiting;
    unsigned max_conns; /* the answer to FCGI_GET_VALUES */
    bool is_shared;     /* other processes accept on the same sockets */
    bool takes_body;    /* bodies of POST are gathered: fastcgi/parser.h */
    const struct log *log;
};

/* Returns NULL with *error. The listeners stay the caller's; call gateway_stop first. */
struct gateway *gateway_new(uv_loop_t *loop, const struct gateway_config *config,
                            gateway_request_fn on_request, void *arg, struct error *error);

/* Starts to accept on the sockets. Returns 0, or -1 with *error. */
int gateway_listen(struct gateway *gateway, const struct listeners *listeners,
                   struct error *error);

/* Stops to accept, and closes connections that are kept for a next request. Those being answered
 * continue until their outputs are released; those that are new still get an answer, as a web
 * server that is cut off answers its browser with 502, after which an EventSource gives up. */
void gateway_stop(struct gateway *gateway);

/* Open connections, whatever they do. */
unsigned gateway_connections(const struct gateway *gateway);

/* Closes everything and frees it once the loop has run the close callbacks. No handler is
 * called any more. */
void gateway_free(struct gateway *gateway);

#endif
