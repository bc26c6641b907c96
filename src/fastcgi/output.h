/* output.h - bytes out on one connection, never blocking.
 *
 * A wire belongs to the connection that it is part of (fastcgi/gateway.c, fastcgi/cgi.c). While a request is
 * being answered it has a reader (a stream, see hub/stream.h) that writes to it. Sockets get FastCGI
 * records as they are; a plain CGI's standard output gets the bodies only. */
#ifndef ROWCAST_FASTCGI_OUTPUT_H
#define ROWCAST_FASTCGI_OUTPUT_H

#include <stdint.h>

#include "base/slice.h"

enum output_result {
    OUTPUT_SENT,    /* all is with the kernel */
    OUTPUT_BLOCKED, /* the socket is full: wait until it can be written */
    OUTPUT_GONE     /* the peer is gone, or memory is: give the output up with ops->drop */
};

struct output;

struct output_ops {
    /* Call output_flush (through the owner's handler) once the descriptor takes bytes again. */
    void (*want_write)(struct output *output, bool on);
    /* The request is answered (output_end was called): the connection flushes what is left and
     * then closes or waits for the next request. The caller forgets the output. */
    void (*release)(struct output *output);
    /* Close now, whatever is unsent. The caller forgets the output. */
    void (*drop)(struct output *output);
};

struct output_pending; /* what a short write left of one record */

struct output {
    const struct output_ops *ops;
    void *reader; /* whoever is told of writability and hang-up; NULL: nobody */
    struct output_pending *rest;
    int fd;
    uint16_t request_id;
    bool plain : 1;      /* CGI: no record headers */
    bool over_limit : 1; /* let in on the reserve descriptor: refuse a stream politely */
    bool publishes : 1;  /* the reader is a publish (publish/endpoint.c), not a stream */
};

/* Sends whole records. On OUTPUT_SENT all is out. On OUTPUT_BLOCKED *taken is the end of the last
 * record that was begun: its rest is kept and goes out by output_flush, what follows it is the
 * caller's to send again. While something is left over that is OUTPUT_BLOCKED, *taken 0. */
enum output_result output_send(struct output *output, struct slice records, size_t *taken);

/* Sends what was left over. */
enum output_result output_flush(struct output *output);

/* Sends whole records that must not be lost (END_REQUEST and the like), behind what is left
 * over if need be; what cannot go out now is kept. A plain CGI's wire takes bare bytes. */
enum output_result output_push(struct output *output, struct slice record);

/* The same for bytes of the response that are not in records yet. */
enum output_result output_push_text(struct output *output, struct slice text);

/* The end of the response: empty STDOUT and END_REQUEST (FastCGI specification section 5.5). */
enum output_result output_end(struct output *output);

static inline bool
output_is_clear(const struct output *output)
{
    return output->rest == NULL;
}

/* A whole short answer: CGI headers and body in `text`, then output_end and release (or drop). What
 * does not go out at once is kept, so `text` should be small. The caller forgets the output. */
void output_answer(struct output *output, struct slice text);

/* Bytes that are kept because a write was short. */
size_t output_pending_bytes(const struct output *output);

/* Forgets what is left over. */
void output_fini(struct output *output);

#endif
