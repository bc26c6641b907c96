/* wire.h - bytes out on one connection, never blocking.
 *
 * A wire belongs to the connection that it is part of (gateway.c, cgi.c). While a request is
 * being answered it has a reader (a stream, see stream.h) that writes to it. Sockets get FastCGI
 * records as they are; a plain CGI's standard output gets the bodies only. */
#ifndef ROWCAST_WIRE_H
#define ROWCAST_WIRE_H

#include <stdint.h>

#include "slice.h"

enum wire_result {
    WIRE_SENT,    /* all is with the kernel */
    WIRE_BLOCKED, /* the socket is full: wait until it can be written */
    WIRE_GONE     /* the peer is gone, or memory is: give the wire up with ops->drop */
};

struct wire;

struct wire_ops {
    /* Call wire_flush (through the owner's handler) once the descriptor takes bytes again. */
    void (*want_write)(struct wire *wire, bool on);
    /* The request is answered (wire_end was called): the connection flushes what is left and
     * then closes or waits for the next request. The caller forgets the wire. */
    void (*release)(struct wire *wire);
    /* Close now, whatever is unsent. The caller forgets the wire. */
    void (*drop)(struct wire *wire);
};

struct wire_rest; /* what a short write left of one record */

struct wire {
    const struct wire_ops *ops;
    void *reader; /* whoever is told of writability and hang-up; NULL: nobody */
    struct wire_rest *rest;
    int fd;
    uint16_t request_id;
    bool plain : 1;      /* CGI: no record headers */
    bool over_limit : 1; /* let in on the reserve descriptor: refuse a stream politely */
    bool publishes : 1;  /* the reader is a publish (publishing.c), not a stream */
};

/* Sends whole records. On WIRE_SENT all is out. On WIRE_BLOCKED *taken is the end of the last
 * record that was begun: its rest is kept and goes out by wire_flush, what follows it is the
 * caller's to send again. While something is left over that is WIRE_BLOCKED, *taken 0. */
enum wire_result wire_send(struct wire *wire, struct slice records, size_t *taken);

/* Sends what was left over. */
enum wire_result wire_flush(struct wire *wire);

/* Sends whole records that must not be lost (END_REQUEST and the like), behind what is left
 * over if need be; what cannot go out now is kept. A plain CGI's wire takes bare bytes. */
enum wire_result wire_push(struct wire *wire, struct slice record);

/* The same for bytes of the response that are not in records yet. */
enum wire_result wire_push_text(struct wire *wire, struct slice text);

/* The end of the response: empty STDOUT and END_REQUEST (FastCGI specification section 5.5). */
enum wire_result wire_end(struct wire *wire);

static inline bool
wire_is_clear(const struct wire *wire)
{
    return wire->rest == NULL;
}

/* A whole short answer: CGI headers and body in `text`, then wire_end and release (or drop). What
 * does not go out at once is kept, so `text` should be small. The caller forgets the wire. */
void wire_answer(struct wire *wire, struct slice text);

/* Bytes that are kept because a write was short. */
size_t wire_rest_bytes(const struct wire *wire);

/* Forgets what is left over. */
void wire_fini(struct wire *wire);

#endif
