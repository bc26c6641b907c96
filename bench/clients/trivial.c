/* trivial.c - the least that a FastCGI responder can do: the floor of the benches.
 *
 *     trivial SOCKET CONTROL
 *
 * Listens on the Unix socket SOCKET, answers every request with the opening of a stream, and
 * writes each datagram that comes to the Unix socket CONTROL to all streams, as it is, by one
 * send() each. No library, no database, no filter: the sender of the datagram (rows.c) has made
 * the records. Connected to the load directly it is the bare loop of send(); behind a web
 * server it is that server's own floor. A socket that is full is waited for, which a real
 * responder must not do. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fastcgi.h>

#define STREAMS_MAX 20000
#define DATAGRAM_MAX 262144
#define EVENTS_MAX 256

struct stream {
    int fd;
    int index; /* in trivial.open; -1: its request is not whole yet */
    unsigned char header[FCGI_HEADER_LEN];
    size_t header_len;
    size_t skip; /* bytes of content and padding to come */
};

struct trivial {
    int epoll_fd, listen_fd, control_fd;
    struct stream *open[STREAMS_MAX];
    int open_count;
    char datagram[DATAGRAM_MAX];
};

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "trivial: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int
bind_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        fail(path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        chmod(path, 0666) != 0)
        fail(path);
    return fd;
}

static void
watch(struct trivial *trivial, int fd, void *ptr)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = ptr};

    if (epoll_ctl(trivial->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll");
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The rest of what a full socket did not take. False when the peer is gone. */
static bool
send_rest(int fd, const char *bytes, size_t len)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0) {
            poll(&room, 1, -1);
            continue;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static void
send_to_all(const struct trivial *trivial, const char *bytes, size_t len)
{
    for (int i = 0; i < trivial->open_count; i++) {
        int fd = trivial->open[i]->fd;
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t)len)
            continue;
        size_t out = sent < 0 ? 0 : (size_t)sent;
        send_rest(fd, bytes + out, len - out); /* a peer that is gone is seen by epoll */
    }
}

static void
on_control(struct trivial *trivial)
{
    ssize_t len = recv(trivial->control_fd, trivial->datagram, sizeof trivial->datagram, 0);

    if (len > 0)
        send_to_all(trivial, trivial->datagram, (size_t)len);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
close_stream(struct trivial *trivial, struct stream *stream)
{
    if (stream->index >= 0) {
        struct stream *last = trivial->open[--trivial->open_count];
        trivial->open[stream->index] = last;
        last->index = stream->index;
    }
    close(stream->fd);
    free(stream);
}

static void
open_stream(struct trivial *trivial, struct stream *stream)
{
    static const char opening[] =
        "Status: 200 OK\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\r\n"
        ": connected\nretry: 3000\nevent: rowcast:open\nid: 0\ndata: {}\n\n";
    unsigned char record[FCGI_HEADER_LEN + sizeof opening - 1] = {
        FCGI_VERSION_1, FCGI_STDOUT, 0, 1, 0, sizeof opening - 1, 0, 0};

    _Static_assert(sizeof opening - 1 < 256, "its length stands in one byte");
    memcpy(record + FCGI_HEADER_LEN, opening, sizeof opening - 1);
    if (trivial->open_count == STREAMS_MAX)
        return;
    stream->index = trivial->open_count;
    trivial->open[trivial->open_count++] = stream;
    send(stream->fd, record, sizeof record, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True at the end of the request: the empty FCGI_STDIN. */
static bool
take_request(struct stream *stream, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        size_t take = stream->skip < len ? stream->skip : len;
        stream->skip -= take;
        bytes += take;
        len -= take;
        if (len == 0)
            break;
        stream->header[stream->header_len++] = *bytes++;
        len--;
        if (stream->header_len < FCGI_HEADER_LEN)
            continue;
        const unsigned char *h = stream->header;
        stream->header_len = 0;
        stream->skip = ((size_t)h[4] << 8 | h[5]) + h[6];
        if (h[1] == FCGI_STDIN && stream->skip == 0)
            return true;
    }
    return false;
}

static void
on_stream(struct trivial *trivial, struct stream *stream)
{
    unsigned char bytes[8192];
    ssize_t got = recv(stream->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        close_stream(trivial, stream);
    else if (stream->index < 0 && take_request(stream, bytes, (size_t)got))
        open_stream(trivial, stream);
}

static void
on_listen(struct trivial *trivial)
{
    for (;;) {
        int fd = accept4(trivial->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct stream *stream = fd < 0 ? NULL : calloc(1, sizeof *stream);
        if (stream == NULL)
            return;
        stream->fd = fd;
        stream->index = -1;
        watch(trivial, fd, stream);
    }
}

int
main(int argc, char **argv)
{
    static struct trivial trivial;
    struct epoll_event events[EVENTS_MAX];
    struct rlimit limit;

    if (argc != 3) {
        fputs("Usage: trivial SOCKET CONTROL\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    trivial.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    trivial.control_fd = bind_unix(argv[2], SOCK_DGRAM);
    trivial.listen_fd = bind_unix(argv[1], SOCK_STREAM);
    if (listen(trivial.listen_fd, 4096) != 0)
        fail("listen");
    watch(&trivial, trivial.control_fd, &trivial.control_fd);
    watch(&trivial, trivial.listen_fd, &trivial.listen_fd);
    for (;;) {
        int count = epoll_wait(trivial.epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &trivial.control_fd)
                on_control(&trivial);
            else if (events[i].data.ptr == &trivial.listen_fd)
                on_listen(&trivial);
            else
                on_stream(&trivial, events[i].data.ptr);
        }
    }
}
