/* client_socket.c - the socket of a bench's client; see client_socket.h. */
#include "config.h"

#include "client_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_MAX 65536 /* bytes taken from the socket at a time */

int
client_socket_open(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, address, len) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum client_state
client_socket_read(int fd, client_parse_fn parse, void *arg)
{
    char bytes[READ_MAX];

    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? CLIENT_OPEN : CLIENT_FAILED;
        if (got == 0)
            return CLIENT_CLOSED;
        enum client_state state = parse(arg, bytes, (size_t)got);
        if (state != CLIENT_OPEN || (size_t)got < sizeof bytes)
            return state;
    }
}
