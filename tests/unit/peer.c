/* peer.c - see peer.h. */
#include "config.h"

#include "peer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The numbers of the specification's section 8, not those of a header that src/ uses too. */
enum { FCGI_1 = 1, END_REQUEST = 3, STDOUT = 6, HEADER = 8, END_BODY = 8 };

/* As assert, but not to be switched off: a test that cannot make its sockets tests nothing. */
#define MUST(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: %s: errno %d\n", __FILE__, __LINE__, #condition,       \
                    errno);                                                                \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

static const char *
take_record(struct peer_answer *answer, const unsigned char *header, unsigned request_id)
{
    size_t body = (size_t)header[4] << 8 | header[5];
    if (answer->ended)
        return "a record after END_REQUEST";
    if (((unsigned)header[2] << 8 | header[3]) != request_id)
        return "a record of another request";
    if (header[1] == END_REQUEST) {
        const unsigned char *end = header + HEADER;
        if (body != END_BODY)
            return "END_REQUEST of a wrong length";
        if (end[0] != 0 || end[1] != 0 || end[2] != 0 || end[3] != 0 || end[4] != 0)
            return "END_REQUEST that tells of a failure";
        if (!answer->out_ended)
            return "END_REQUEST before the end of STDOUT";
        answer->ended = true;
        return NULL;
    }
    if (header[1] != STDOUT)
        return "a record of an unexpected type";
    if (answer->out_ended)
        return "STDOUT after its end";
    if (body == 0)
        answer->out_ended = true;
    else
        answer->records++;
    buf_append(&answer->out, header + HEADER, body);
    return NULL;
}

void
peer_parse(struct peer_answer *answer, struct slice bytes, unsigned request_id)
{
    *answer = (struct peer_answer){0};
    while (bytes.len >= HEADER && answer->fault == NULL) {
        const unsigned char *header = (const unsigned char *)bytes.p;
        size_t len = HEADER + ((size_t)header[4] << 8 | header[5]) + header[6];
        if (header[0] != FCGI_1) {
            answer->fault = "a record of another version";
            break;
        }
        if (bytes.len < len)
            break;
        answer->fault = take_record(answer, header, request_id);
        bytes.p += len;
        bytes.len -= len;
    }
    answer->rest = bytes.len;
}

void
peer_answer_fini(struct peer_answer *answer)
{
    buf_fini(&answer->out);
}

bool
peer_read(int fd, struct buf *to, size_t max)
{
    while (max > 0) {
        size_t want = max < 65536 ? max : 65536;
        char *room = buf_reserve(to, want);
        MUST(room != NULL);
        ssize_t n = read(fd, room, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        to->len += (size_t)n;
        max -= (size_t)n;
    }
    return true;
}

size_t
peer_fill(int fd, struct slice record)
{
    size_t times = 0;
    ssize_t n;
    while ((n = send(fd, record.p, record.len, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
        MUST((size_t)n == record.len); /* small ones go in whole or not at all */
        times++;
    }
    MUST(errno == EAGAIN);
    return times;
}

static void
make_nonblocking(int fd)
{
    MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

void
peer_socketpair(int pair[2], int send_bytes)
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes) == 0);
}

void
peer_tcp_pair(int pair[2], int send_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(listener >= 0);
    MUST(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &send_bytes, sizeof send_bytes) == 0);
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    MUST(listen(listener, 1) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(pair[0] >= 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes) == 0);
    MUST(connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0);
    pair[1] = accept(listener, NULL, NULL);
    MUST(pair[1] >= 0);
    close(listener);
    make_nonblocking(pair[0]);
    make_nonblocking(pair[1]);
}

size_t
peer_count_descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    MUST(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* less the one of the folder */
}
