/* fcgi_client.c - sends one FastCGI request and takes the records of its answer apart.
 *
 * Called by the benches. It does not send bodies, does not multiplex, and does not show what
 * the application writes to FCGI_STDERR. */
#include "config.h"

#include "fcgi_client.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 4096 /* bytes of the whole request */
#define SHORT_LEN_MAX                                                                      \
    127 /* longer name-value lengths take four bytes, which we do not write */

int
fcgi_client_open(struct fcgi_client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *client = (struct fcgi_client){.fd = -1};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    client->fd = client_socket_open((struct sockaddr *)&address, sizeof address);
    return client->fd >= 0 ? 0 : -1;
}

static size_t
put_header(unsigned char *to, unsigned char type, size_t content_len)
{
    FCGI_Header header = {.version = FCGI_VERSION_1, .type = type, .requestIdB0 = 1};

    header.contentLengthB1 = (unsigned char)(content_len >> 8);
    header.contentLengthB0 = (unsigned char)(content_len & 0xff);
    memcpy(to, &header, sizeof header);
    return sizeof header;
}

/* Returns the length of the params' content, 0 when they do not fit. */
static size_t
put_params(unsigned char *to, size_t room, const char *const *params)
{
    size_t len = 0;

    for (; *params != NULL; params++) {
        const char *equals = strchr(*params, '=');
        size_t name_len = (size_t)(equals - *params);
        size_t value_len = strlen(equals + 1);
        if (name_len > SHORT_LEN_MAX || value_len > SHORT_LEN_MAX ||
            2 + name_len + value_len > room - len)
            return 0;
        to[len++] = (unsigned char)name_len;
        to[len++] = (unsigned char)value_len;
        memcpy(to + len, *params, name_len);
        len += name_len;
        memcpy(to + len, equals + 1, value_len);
        len += value_len;
    }
    return len;
}

int
fcgi_client_send(const struct fcgi_client *client, const char *const *params)
{
    unsigned char request[REQUEST_MAX];
    FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER};
    size_t len = put_header(request, FCGI_BEGIN_REQUEST, sizeof begin);

    memcpy(request + len, &begin, sizeof begin);
    len += sizeof begin;
    size_t params_at = len + FCGI_HEADER_LEN;
    size_t params_len = put_params(
        request + params_at, sizeof request - params_at - 2 * FCGI_HEADER_LEN, params);
    if (params_len == 0) {
        errno = EMSGSIZE;
        return -1;
    }
    put_header(request + len, FCGI_PARAMS, params_len);
    len = params_at + params_len;
    len += put_header(request + len, FCGI_PARAMS, 0);
    len += put_header(request + len, FCGI_STDIN, 0);

    /* A new socket's buffer is far larger than a request: a short write is a failure here. */
    ssize_t sent = send(client->fd, request, len, MSG_NOSIGNAL);
    if (sent >= 0 && (size_t)sent < len)
        errno = EMSGSIZE;
    return sent == (ssize_t)len ? 0 : -1;
}

/* Takes bytes of the header; once it is whole, sets up the record's content and padding. */
static size_t
take_header(struct fcgi_client *client, const char *bytes, size_t len)
{
    size_t want = sizeof client->header - client->header_len;
    size_t take = len < want ? len : want;

    memcpy(client->header + client->header_len, bytes, take);
    client->header_len += take;
    if (client->header_len == sizeof client->header) {
        client->content_left = (size_t)client->header[4] << 8 | client->header[5];
        client->padding_left = client->header[6];
    }
    return take;
}

/* A read of the answer: the client, and where the content goes. */
struct reading {
    struct fcgi_client *client;
    client_bytes_fn fn;
    void *arg;
};

static bool
is_at_record_end(const struct fcgi_client *client)
{
    return client->header_len == sizeof client->header && client->content_left == 0 &&
           client->padding_left == 0;
}

/* client_parse_fn. */
static enum client_state
take_bytes(void *arg, const char *bytes, size_t len)
{
    const struct reading *reading = arg;
    struct fcgi_client *client = reading->client;

    while (len > 0 || is_at_record_end(client)) {
        size_t take = 0;
        if (client->header_len < sizeof client->header) {
            take = take_header(client, bytes, len);
            if (client->header[0] != FCGI_VERSION_1)
                return CLIENT_FAILED;
        } else if (client->content_left > 0) {
            take = len < client->content_left ? len : client->content_left;
            if (client->header[1] == FCGI_STDOUT)
                reading->fn(reading->arg, bytes, take);
            client->content_left -= take;
        } else if (client->padding_left > 0) {
            take = len < client->padding_left ? len : client->padding_left;
            client->padding_left -= take;
        } else {
            if (client->header[1] == FCGI_END_REQUEST)
                return CLIENT_ENDED;
            client->header_len = 0;
        }
        bytes += take;
        len -= take;
    }
    return CLIENT_OPEN;
}

enum client_state
fcgi_client_read(struct fcgi_client *client, client_bytes_fn fn, void *arg)
{
    struct reading reading = {client, fn, arg};
    enum client_state state = client_socket_read(client->fd, take_bytes, &reading);

    return state == CLIENT_CLOSED ? CLIENT_FAILED : state;
}

void
fcgi_client_close(struct fcgi_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}
