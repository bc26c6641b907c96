/* listen.h - listening sockets: our own, inherited ones, and the limit of descriptors. */
#ifndef ROWCAST_FASTCGI_LISTEN_H
#define ROWCAST_FASTCGI_LISTEN_H

#include <sys/types.h>

#include "base/error.h"

/* As deep as the kernel allows: with a full backlog lighttpd answers 500 and nginx 502, and an
 * EventSource gives up for good on either (measured). */
#define LISTEN_BACKLOG 4096
#define LISTEN_SOCKETS_MAX 16

struct listeners {
    int fds[LISTEN_SOCKETS_MAX];
    int count;
    char *unlink_path; /* the Unix socket that we made; owned */
    char *lock_path;   /* and the lock beside it; owned */
    int lock_fd;       /* -1: none */
};

/* Opens `address`: unix:PATH, HOST:PORT or [V6]:PORT (port 0: any; numeric addresses and names
 * that the resolver knows without the network). The Unix socket gets `mode`. A stale socket
 * file (no process accepts on it) is replaced, a live one refused. Returns 0, or with *error -1, or
 * LISTEN_USAGE when the address is not of one of these forms. */
#define LISTEN_USAGE (-2)
int listeners_open(struct listeners *listeners, const char *address, mode_t mode,
                   struct error *error);

/* Takes over sockets passed by systemd (LISTEN_FDS, sd_listen_fds(3)), else the listening socket
 * on fd 0 (FastCGI specification section 2.2). Returns how many, 0 when there are none, -1
 * with *error when one is not a listening stream socket. */
int listeners_inherit(struct listeners *listeners, struct error *error);

/* The address of the i-th socket, for a log line. */
const char *listeners_name(const struct listeners *listeners, int i, char *out,
                           size_t size);

/* Closes the sockets and removes the Unix socket that listeners_open made. */
void listeners_close(struct listeners *listeners);

/* Raises RLIMIT_NOFILE to its hard limit. Returns what is allowed now. */
unsigned listen_raise_descriptors(void);

#endif
