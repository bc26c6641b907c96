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

int
http_client_open(struct http_client *client, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *client = (struct http_client){.fd = -1};
    client->fd = client_socket_open((struct sockaddr *)&address, sizeof address);
    return client->fd >= 0 ? 0 : -1;
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

static enum client_state
take_size_byte(struct http_client *client, char c)
{
    if (c == '\n') {
        if (client->chunk_left == 0)
            return CLIENT_ENDED;
        client->place = HTTP_CLIENT_BODY;
    } else if (isxdigit((unsigned char)c)) {
        int digit =
            isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
        client->chunk_left = client->chunk_left * 16 + (size_t)digit;
    } else if (c != '\r') {
        return CLIENT_FAILED;
    }
    return CLIENT_OPEN;
}

/* A read of the answer: the client, and where the body goes. */
struct reading {
    struct http_client *client;
    client_bytes_fn fn;
    void *arg;
};

static size_t
take_body(const struct reading *reading, const char *bytes, size_t len)
{
    struct http_client *client = reading->client;

    if (!client->chunked) {
        reading->fn(reading->arg, bytes, len);
        return len;
    }
    size_t take = len < client->chunk_left ? len : client->chunk_left;
    reading->fn(reading->arg, bytes, take);
    client->chunk_left -= take;
    if (client->chunk_left == 0)
        client->place = HTTP_CLIENT_AFTER;
    return take;
}

/* client_parse_fn. */
static enum client_state
take_bytes(void *arg, const char *bytes, size_t len)
{
    const struct reading *reading = arg;
    struct http_client *client = reading->client;
    enum client_state state = CLIENT_OPEN;

    for (size_t at = 0; at < len && state == CLIENT_OPEN;) {
        switch (client->place) {
        case HTTP_CLIENT_HEAD:
            if (!take_head_byte(client, bytes[at++]))
                state = CLIENT_FAILED;
            break;
        case HTTP_CLIENT_SIZE:
            state = take_size_byte(client, bytes[at++]);
            break;
        case HTTP_CLIENT_BODY:
            at += take_body(reading, bytes + at, len - at);
            break;
        case HTTP_CLIENT_AFTER:
            if (bytes[at++] == '\n')
                client->place = HTTP_CLIENT_SIZE;
            break;
        }
    }
    return state;
}

enum client_state
http_client_read(struct http_client *client, client_bytes_fn fn, void *arg)
{
    struct reading reading = {client, fn, arg};
    enum client_state state = client_socket_read(client->fd, take_bytes, &reading);

    if (state != CLIENT_CLOSED)
        return state;
    bool is_body = client->place == HTTP_CLIENT_BODY && !client->chunked;
    return is_body ? CLIENT_ENDED : CLIENT_FAILED;
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
