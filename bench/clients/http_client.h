/* http_client.h - a reader of one answer over HTTP/1.1, as little as a bench needs.
 *
 * One connection, one GET; the answer's body comes chunked (lighttpd, nginx) or to the close of
 * the connection. The same shape as fcgi_client.h. */
#ifndef ROWCAST_BENCH_HTTP_CLIENT_H
#define ROWCAST_BENCH_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "client_socket.h"

enum http_client_place {
    HTTP_CLIENT_HEAD,
    HTTP_CLIENT_SIZE, /* in the line with a chunk's size */
    HTTP_CLIENT_BODY,
    HTTP_CLIENT_AFTER /* in the line end behind a chunk */
};

struct http_client {
    int fd; /* -1: none. Non-blocking once connected */
    enum http_client_place place;
    bool chunked;
    size_t chunk_left;
    unsigned line_len; /* of the line of the head that is being read */
    char line[40];     /* its beginning, in small letters */
};

/* Connects to 127.0.0.1. Returns 0, or -1 with errno. */
int http_client_open(struct http_client *client, int port);

/* Asks for the target (path and query). Returns 0, or -1 with errno. */
int http_client_get(const struct http_client *client, const char *target);

/* Reads what has come, without waiting, and gives the body to fn. CLIENT_ENDED: the last chunk, or
 * the end of an answer that is not chunked. */
enum client_state http_client_read(struct http_client *client, client_bytes_fn fn,
                                   void *arg);

/* For a caller that wants to wait in recv(2) itself. Returns 0, or -1 with errno. */
int http_client_block(const struct http_client *client);

/* Closes with a reset, so that thousands of ports do not wait in TIME_WAIT. */
void http_client_close(struct http_client *client);

#endif
