/* http_client.c - takes an HTTP/1.1 answer apart: head, chunks, body.
 *
 * Called by crowd.c. It knows no redirects, no trailers and no compression. */
#include "config.h"

#include "http_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX 65536 /* bytes taken from the socket at a time */

int
http_client_open(struct http_client *client, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *client = (struct http_client){.fd = -1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    client->fd = fd;
    return 0;
}

int
http_client_get(const struct http_client *client, const char *target)
{
    char request[1024];
    int len = snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", target);

    if (len < 0 || (size_t)len >= sizeof request) {
        errno = EMSGSIZE;
        return -1;
    }
    return send(client->fd, request, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -1;
}

/* A whole line of the head. False when the answer is not one that we want. */
static bool
take_head_line(struct http_client *client)
{
    const char *line = client->line;

    if (strncmp(line, "http/", 5) == 0)
        return strncmp(line + 8, " 200", 4) == 0;
    if (strncmp(line, "transfer-encoding: chunked", 26) == 0)
        client->chunked = true;
    else if (client->line_len == 0)
        client->place = client->chunked ? HTTP_CLIENT_SIZE : HTTP_CLIENT_BODY;
    return true;
}

static bool
take_head_byte(struct http_client *client, char c)
{
    if (c == '\r')
        return true;
    if (c == '\n') {
        bool wanted = take_head_line(client);
        client->line_len = 0;
        memset(client->line, 0, sizeof client->line);
        return wanted;
    }
    if (client->line_len < sizeof client->line - 1)
        client->line[client->line_len] = (char)tolower((unsigned char)c);
    client->line_len++;
    return true;
}

static enum http_client_state
take_size_byte(struct http_client *client, char c)
{
    if (c == '\n') {
        if (client->chunk_left == 0)
            return HTTP_CLIENT_ENDED;
        client->place = HTTP_CLIENT_BODY;
    } else if (isxdigit((unsigned char)c)) {
        int digit =
            isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
        client->chunk_left = client->chunk_left * 16 + (size_t)digit;
    } else if (c != '\r') {
        return HTTP_CLIENT_FAILED;
    }
    return HTTP_CLIENT_OPEN;
}

static size_t
take_body(struct http_client *client, const char *bytes, size_t len, http_client_fn fn,
          void *arg)
{
    if (!client->chunked) {
        fn(arg, bytes, len);
        return len;
    }
    size_t take = len < client->chunk_left ? len : client->chunk_left;
    fn(arg, bytes, take);
    client->chunk_left -= take;
    if (client->chunk_left == 0)
        client->place = HTTP_CLIENT_AFTER;
    return take;
}

static enum http_client_state
take_bytes(struct http_client *client, const char *bytes, size_t len, http_client_fn fn,
           void *arg)
{
    enum http_client_state state = HTTP_CLIENT_OPEN;

    for (size_t at = 0; at < len && state == HTTP_CLIENT_OPEN;) {
        switch (client->place) {
        case HTTP_CLIENT_HEAD:
            if (!take_head_byte(client, bytes[at++]))
                state = HTTP_CLIENT_FAILED;
            break;
        case HTTP_CLIENT_SIZE:
            state = take_size_byte(client, bytes[at++]);
            break;
        case HTTP_CLIENT_BODY:
            at += take_body(client, bytes + at, len - at, fn, arg);
            break;
        case HTTP_CLIENT_AFTER:
            if (bytes[at++] == '\n')
                client->place = HTTP_CLIENT_SIZE;
            break;
        }
    }
    return state;
}

enum http_client_state
http_client_read(struct http_client *client, http_client_fn fn, void *arg)
{
    char bytes[READ_MAX];

    for (;;) {
        ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? HTTP_CLIENT_OPEN : HTTP_CLIENT_FAILED;
        if (got == 0)
            return client->place == HTTP_CLIENT_BODY && !client->chunked
                       ? HTTP_CLIENT_ENDED
                       : HTTP_CLIENT_FAILED;
        enum http_client_state state = take_bytes(client, bytes, (size_t)got, fn, arg);
        if (state != HTTP_CLIENT_OPEN || (size_t)got < sizeof bytes)
            return state;
    }
}

int
http_client_block(const struct http_client *client)
{
    return fcntl(client->fd, F_SETFL, 0);
}

void
http_client_close(struct http_client *client)
{
    struct linger reset = {.l_onoff = 1};

    if (client->fd < 0)
        return;
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client->fd);
    client->fd = -1;
}
