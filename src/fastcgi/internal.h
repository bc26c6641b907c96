/* internal.h - what fastcgi/gateway.c (accepting, deadlines, the whole's life) and fastcgi/conn.c (one
 * connection's life) share. Nobody else includes it. */
#ifndef ROWCAST_FASTCGI_INTERNAL_H
#define ROWCAST_FASTCGI_INTERNAL_H

#include "fastcgi/gateway.h"

#include "fastcgi/libfcgi.h"
#include "fastcgi/parser.h"
#include "base/queue.h"

#define READ_BYTES 65536

enum conn_state {
    CONN_READING,  /* waits for a request, or is in the middle of one */
    CONN_BUSY,     /* the request is with its handler; the output has an owner */
    CONN_FLUSHING, /* answered; the last bytes wait for the socket */
    CONN_CLOSED    /* uv_close is under way */
};

struct conn {
    uv_poll_t poll;
    struct output output;
    struct fcgi_parser parser;
    struct gateway *gateway;
    struct queue_link deadline; /* in gateway->partial while a request is awaited */
    uint64_t since_ms;          /* when that began */
    uint8_t state;              /* enum conn_state */
    bool wants_write;
    bool fresh; /* no request yet: a deadline runs from the accept on */
};

struct acceptor {
    uv_poll_t poll;
    struct gateway *gateway;
    int fd;
};

struct gateway {
    uv_loop_t *loop;
    struct gateway_config config;
    gateway_request_fn on_request;
    void *arg;
    struct libfcgi *fcgi;
    struct acceptor *acceptors[LISTEN_SOCKETS_MAX];
    int acceptor_count;
    struct queue partial; /* conns that owe us a request, oldest first */
    struct queue idle;    /* kept-alive conns between two requests */
    uv_timer_t deadline_timer;
    uv_timer_t pause_timer; /* accept pauses: no descriptors */
    int reserve_fd;         /* given up to let one more connection in on EMFILE */
    unsigned conns;
    unsigned handles; /* of ours that libuv still knows */
    bool stopping;
    bool freed;
    char scratch[READ_BYTES];
};

/* fastcgi/conn.c */

/* Takes the descriptor over; over_limit: it came in on the reserve. */
void conn_open(struct gateway *gateway, int fd, bool over_limit);

/* Closes at once; freed when libuv has let go of it. Harmless when closed already. */
void conn_close(struct conn *conn);

/* True when the handle is a connection of this gateway. */
bool conn_owns_handle(const uv_handle_t *handle, const struct gateway *gateway);

/* fastcgi/gateway.c */

/* Makes sure that the timer runs while a connection owes us a request. */
void gateway_arm_deadline(struct gateway *gateway);

/* A descriptor may have become free. */
void gateway_resume_accept(struct gateway *gateway);

/* One of our handles is closed for good; the last one after gateway_free frees all. */
void gateway_handle_closed(struct gateway *gateway);

#endif
