/* client_socket.h - what fcgi_client.c and http_client.c share: a connection that does not block,
 * and a loop that reads all that has come. */
#ifndef ROWCAST_BENCH_CLIENT_SOCKET_H
#define ROWCAST_BENCH_CLIENT_SOCKET_H

#include <stddef.h>
#include <sys/socket.h>

/* How an answer stands. */
enum client_state {
    CLIENT_OPEN,   /* all that had come was read; more may come */
    CLIENT_ENDED,  /* the answer is complete */
    CLIENT_CLOSED, /* the server has closed the connection; only from client_socket_read */
    CLIENT_FAILED  /* closed in the middle, refused, or not the protocol */
};

/* Gets a piece of the answer, valid until it returns. */
typedef void (*client_bytes_fn)(void *arg, const char *bytes, size_t len);

/* Parses the next bytes of the connection. */
typedef enum client_state (*client_parse_fn)(void *arg, const char *bytes, size_t len);

/* Returns the descriptor, or -1 with errno. Blocks only as connect(2) does. */
int client_socket_open(const struct sockaddr *address, socklen_t len);

/* Reads, without waiting, until nothing is left or the parser says other than CLIENT_OPEN. */
enum client_state client_socket_read(int fd, client_parse_fn parse, void *arg);

#endif
