/* client.h - one stream's connection, over FastCGI or over HTTP; crowd.c has thousands. */
#ifndef ROWCAST_BENCH_CLIENT_H
#define ROWCAST_BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi_client.h"
#include "http_client.h"

/* Where streams are opened. */
struct client_target {
    const char *fcgi_path; /* Unix socket of the responder, or NULL: */
    int http_port;         /* of the web server */
    const char *url_path;  /* "/events" */
};

struct client {
    bool is_fcgi;
    union {
        struct fcgi_client fcgi;
        struct http_client http;
    };
};

/* Connects and sends the request; a %d in the query is replaced by the number. Returns 0, or -1
 * with errno. */
int client_open(struct client *client, const struct client_target *target,
                const char *query, int number);

/* Reads what is there and gives the body to fn (FastCGI: headers too). False at the end. */
bool client_read(struct client *client, client_bytes_fn fn, void *arg);

int client_fd(const struct client *client);

void client_close(struct client *client);

#endif
