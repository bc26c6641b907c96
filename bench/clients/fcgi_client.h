/* fcgi_client.h - the web server's side of FastCGI, as little as a bench needs.
 *
 * One connection, one request (id 1), GET without a body, as lighttpd, Apache and nginx send it.
 * Written against fastcgi.h alone and not against rowcast's own record code, so that a fault
 * there cannot hide behind the same fault here. */
#ifndef ROWCAST_BENCH_FCGI_CLIENT_H
#define ROWCAST_BENCH_FCGI_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <fastcgi.h>

#include "client_socket.h"

struct fcgi_client {
    int fd; /* the connection; -1: none. Non-blocking once connected */
    unsigned char header[FCGI_HEADER_LEN];
    size_t header_len;   /* bytes of the current record's header that are here */
    size_t content_left; /* of the current record */
    size_t padding_left;
};

/* Connects to the Unix socket. Returns 0, or -1 with errno. Blocks only as connect(2) does. */
int fcgi_client_open(struct fcgi_client *client, const char *path);

/* Sends the whole request; params are "NAME=value" strings, NULL at the end, names and values
 * shorter than 128 bytes. Returns 0, or -1 with errno. */
int fcgi_client_send(const struct fcgi_client *client, const char *const *params);

/* Reads what has come, without waiting, and gives the FCGI_STDOUT content (headers and body) to fn.
 * CLIENT_ENDED: FCGI_END_REQUEST has come. */
enum client_state fcgi_client_read(struct fcgi_client *client, client_bytes_fn fn,
                                   void *arg);

void fcgi_client_close(struct fcgi_client *client);

#endif
