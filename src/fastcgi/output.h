/* output.h - bytes out on one connection, never blocking.
 *
 * An output is part of a connection (fastcgi/conn.c, fastcgi/cgi.c), which does the polling. While
 * a request is being answered the output has an owner: a stream (hub/), a publish request
 * (publish/endpoint.c) or a viewer of the live status (serve/status_stream.c). The owner writes,
 * and sets what the connection calls when the descriptor takes bytes again or the peer is gone.
 * Sockets get FastCGI records as they are; a plain CGI's standard output gets the bodies only. */
#ifndef ROWCAST_FASTCGI_OUTPUT_H
#define ROWCAST_FASTCGI_OUTPUT_H

#include <stdint.h>

#include "base/slice.h"

enum output_result {
    OUTPUT_SENT,    /* all is with the kernel */
    OUTPUT_BLOCKED, /* the socket is full: wait until it can be written */
    OUTPUT_GONE /* the peer is gone, or memory is: give the output up with output_drop */
};

/* Why the connection takes the output away. */
enum gone_reason {
    GONE_CLOSED, /* the peer closed the connection: the output may not be touched any more */
    GONE_ABORTED /* FCGI_ABORT_REQUEST: the owner still has to end and release the output */
};

struct output;

/* The owner's side. */
struct output_ops {
    /* output_arm was called and the descriptor takes bytes: call output_flush and go on. */
    void (*writable)(struct output *output);
    void (*gone)(struct output *output, enum gone_reason why);
};

/* The connection's side; called by the functions below only. */
struct output_transport {
    void (*arm)(struct output *output);
    void (*disarm)(struct output *output);
    void (*release)(struct output *output);
    void (*drop)(struct output *output);
};

struct output_pending; /* what a short write left over */

/* Who asked, in the words of who handles requests: kept until the answer is out to the last
 * byte. See gateway_config.may_wait. */
struct output_tag {
    uint64_t user, address; /* 0: anonymous; once the answer waits, what it holds */
};

struct output {
    const struct output_transport *transport;
    const struct output_ops *ops; /* the owner's; NULL: the output has no owner */
    void *owner;
    struct output_pending *pending;
    struct output_tag tag;
    int fd;
    uint16_t request_id;
    bool plain : 1;      /* CGI: no record headers */
    bool over_limit : 1; /* accepted on the reserve descriptor: refuse a stream politely */
};

/* From now on the connection calls ops. The owner keeps it until it drops, releases or loses the
 * output, or passes it on. */
void output_set_owner(struct output *output, const struct output_ops *ops, void *owner);
void output_clear_owner(struct output *output);

/* Ask the connection to call ops->writable once the descriptor takes bytes, or not any more. */
void output_arm(struct output *output);
void output_disarm(struct output *output);

/* Closes the connection now, whatever is unsent. The caller forgets the output. */
void output_drop(struct output *output);

/* Sends whole records. On OUTPUT_SENT all is out. On OUTPUT_BLOCKED *taken is the end of the last
 * record that was begun: its rest is kept and goes out by output_flush, what follows it is the
 * caller's to send again. While something is pending the result is OUTPUT_BLOCKED, *taken 0. */
enum output_result output_send(struct output *output, struct slice records, size_t *taken);

/* Sends what is pending. */
enum output_result output_flush(struct output *output);

/* Sends whole records that must not be lost (END_REQUEST and the like), behind what is pending;
 * what cannot go out now is kept. A plain CGI's output takes bare bytes. */
enum output_result output_push(struct output *output, struct slice record);

/* The same for bytes of the response that are not in records yet. */
enum output_result output_push_text(struct output *output, struct slice text);

/* The end of the response: empty STDOUT and END_REQUEST (FastCGI specification section 5.5). */
enum output_result output_end(struct output *output);

/* The whole response in one: output_push_text and output_end. What the socket does not take is
 * kept, whatever its size, so that an answer is never cut. */
enum output_result output_push_answer(struct output *output, struct slice text);

/* The response has its end: the output goes back to its connection, which flushes what is pending
 * and then closes or waits for the next request. The caller forgets the output. */
void output_release(struct output *output);

/* output_end, then output_release, or output_drop when the peer is gone. */
void output_finish(struct output *output);

static inline bool
output_is_clear(const struct output *output)
{
    return output->pending == NULL;
}

/* A whole answer: CGI headers and body in `text`. The caller forgets the output. */
void output_answer(struct output *output, struct slice text);

/* Bytes that are kept because a write was short. */
size_t output_pending_bytes(const struct output *output);

/* Forgets what is pending. */
void output_fini(struct output *output);

#endif
