/* peer.h - the web server's end of a connection, for tests: what it makes of the bytes that we
 * send. Written from the FastCGI specification (sections 3.3, 5.3, 5.5) and from nothing in
 * src/; stricter than web servers are. */
#ifndef ROWCAST_TESTS_PEER_H
#define ROWCAST_TESTS_PEER_H

#include <stdint.h>

#include "base/buf.h"

/* One request's answer, as far as it has come. */
struct peer_answer {
    struct buf out;    /* the bodies of its STDOUT records, joined */
    size_t records;    /* STDOUT records with a body */
    size_t rest;       /* bytes at the end that are no whole record yet */
    bool out_ended;    /* the empty STDOUT record is there */
    bool ended;        /* END_REQUEST is there */
    const char *fault; /* NULL: all is well-formed */
};

/* Takes apart what one request on the connection was answered. Anything that is not a STDOUT or
 * END_REQUEST record of that request, in that order, is a fault. Give back with
 * peer_answer_fini. */
void peer_parse(struct peer_answer *answer, struct slice bytes, unsigned request_id);
void peer_answer_fini(struct peer_answer *answer);

/* Appends what can be read from the descriptor without waiting, `max` bytes at the most. False
 * at the end of file. */
bool peer_read(int fd, struct buf *to, size_t max);

/* Fills the socket with bytes until not one more goes in; `record`, whole, as often as it fits,
 * so that what the peer reads stays well-formed. How many times it went in. */
size_t peer_fill(int fd, struct slice record);

/* A connected pair of stream sockets, neither blocking; what [0] sends is bounded by
 * send_bytes, as near as the kernel allows. */
void peer_socketpair(int pair[2], int send_bytes);
void peer_tcp_pair(int pair[2], int send_bytes);

/* Open descriptors of this process, to see that none is left behind. */
size_t peer_count_descriptors(void);

#endif
