/* internal.h - what fastcgi/gateway.c (accepting, deadlines, the whole's life), fastcgi/conn.c (one
 * connection's life) and fastcgi/conn_read.c (its requests) share. No other file includes it. */
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
    struct queue_link deadline; /* in gateway->partial, idle or flushing */
    uint64_t
        since_ms;  /* when the wait for a request began, or the last progress of a flush */
    uint8_t state; /* enum conn_state */
    bool wants_write;
    bool fresh; /* no request yet: a deadline runs from the accept on */
};

struct acceptor {
    uv_poll_t poll;
    struct gateway *gateway;
    int fd;
};

/* The time that work of one kind may take in a turn of the loop. What is left over is done in
 * the next turn, so that however many connections want something at once, rows go out in
 * between. */
struct gateway_budget {
    uint64_t used_ns;
};

/* Faults that one peer, or one state of the system, can repeat at will. */
enum gateway_fault {
    GATEWAY_NO_DESCRIPTORS,
    GATEWAY_TOO_SLOW,
    GATEWAY_MALFORMED,
    GATEWAY_NOT_TAKEN,
    GATEWAY_FAULTS
};

struct gateway {
    uv_loop_t *loop;
    struct gateway_config config;
    gateway_request_fn on_request;
    void *arg;
    struct libfcgi *fcgi;
    struct acceptor *acceptors[LISTEN_SOCKETS_MAX];
    int acceptor_count;
    struct queue partial;  /* conns that owe us a request, oldest first */
    struct queue idle;     /* kept-alive conns between two requests */
    struct queue flushing; /* FLUSHING conns, oldest progress first */
    uv_timer_t deadline_timer;
    uv_timer_t pause_timer; /* accept pauses: no descriptors */
    int reserve_fd;         /* given up to let one more connection in on EMFILE */
    unsigned conns;
    uv_prepare_t turn; /* begins a turn of the loop: the budgets below are whole again */
    struct gateway_budget reads, writes, closes; /* reads: with what is accepted */
    unsigned handles;                            /* of ours that libuv still knows */
    struct {
        uint64_t quiet_until_ms;
        uint64_t suppressed; /* lines, since the last one */
    } faults[GATEWAY_FAULTS];
    bool stopping;
    bool freed;
    char scratch[READ_BYTES];
};

/* fastcgi/conn.c */

enum conn_place {
    CONN_REGULAR,
    CONN_ON_RESERVE /* it came in on the reserve descriptor: no stream */
};

/* Takes the descriptor over. */
void conn_open(struct gateway *gateway, int fd, enum conn_place place);

/* Closes at once; freed when libuv has let go of it. Harmless when closed already. */
void conn_close(struct conn *conn);

/* True when the handle is a connection of this gateway. */
bool conn_owns_handle(const uv_handle_t *handle, const struct gateway *gateway);

/* Waits for the first or the next request; its deadline begins. */
void conn_await_request(struct conn *conn);

/* True when a request is being answered and its output has an owner. */
bool conn_has_owner(const struct conn *conn);

/* Closes; the output's owner, if there is one, loses it. */
void conn_lose(struct conn *conn);

/* The answer is given, and its rest waits for the socket. False: the answer may not wait, and the
 * connection is closed. */
bool conn_enter_flushing(struct conn *conn);

/* Watches for the moment when the socket takes more, besides what can be read. */
void conn_arm(struct conn *conn);

/* Watches for that moment alone: the web server sends nothing more. */
void conn_watch_writable(struct conn *conn);

/* fastcgi/conn_read.c */

/* Reads once, as far as this turn's time for reading allows. May close the connection. */
void conn_read(struct conn *conn);

/* fastcgi/gateway.c */

/* The time at which a piece of work begins, for gateway_end_work; 0: none is left for this kind
 * of work in this turn. */
uint64_t gateway_begin_work(const struct gateway_budget *budget);
void gateway_end_work(struct gateway_budget *budget, uint64_t began);

/* Sets the timer for the next connection that owes a request or takes nothing for too long. */
void gateway_arm_deadline(struct gateway *gateway);

/* A descriptor may have become free. */
void gateway_resume_accept(struct gateway *gateway);

/* A warning in the log, of each fault at most one in GATEWAY_WARN_MS: the next one says how many
 * were left out. */
void gateway_warn(struct gateway *gateway, enum gateway_fault fault, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

/* One of our handles is closed for good; the last one after gateway_free frees all. */
void gateway_handle_closed(struct gateway *gateway);

#endif
