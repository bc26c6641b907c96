/* transport.c - requests to push services through libcurl; see push/transport.h.
 *
 * Each request is an exchange: its options are set here, and libcurl hands over the lines of the
 * answer's header, pieces of its body, and the address that it is about to connect to, which may
 * be refused. push/curl_loop.c has libcurl's sockets and timer on libuv's loop, and says when a
 * request has finished. */
#include "config.h"

#include "push/transport.h"

#ifdef HAVE_CURL
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/queue.h"
#include "push/address.h"
#include "push/curl_loop.h"

struct transport {
    struct curl_loop *loop;
    const char *ca_file;
    struct queue exchanges;
};

struct exchange {
    struct queue_link link;
    struct transport *transport;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    bool may_be_private;
    bool is_private; /* the address that was refused */
    bool has_header; /* the header of the last answer is complete */
    int status;
    size_t header_bytes, body_bytes;
    struct transport_answer answer;
    transport_done_fn done;
    void *arg;
};

bool
transport_is_built(void)
{
    return true;
}

/* --- an answer ---------------------------------------------------------------------- */

static void
take_field(struct exchange *exchange, struct slice line)
{
    static const char name[] = "Retry-After:";
    size_t len = sizeof name - 1;
    if (line.len < len || strncasecmp(line.p, name, len) != 0)
        return;
    struct slice value = {line.p + len, line.len - len};
    while (value.len > 0 && strchr("\r\n", value.p[value.len - 1]) != NULL)
        value.len--;
    value = slice_trim(value);
    snprintf(exchange->answer.retry_after, TRANSPORT_FIELD_MAX, "%.*s", (int)value.len,
             value.p);
}

/* A line of the header; interim answers (1xx) have one of their own before the last. */
static size_t
on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    struct slice line = {bytes, size * count};
    exchange->header_bytes += line.len;
    if (exchange->header_bytes > TRANSPORT_HEADER_MAX)
        return 0;
    if (line.len > 5 && memcmp(line.p, "HTTP/", 5) == 0) {
        const char *space = memchr(line.p, ' ', line.len);
        exchange->status = space != NULL ? (int)strtol(space + 1, NULL, 10) : 0;
        exchange->answer.retry_after[0] = '\0';
    } else if (line.p[0] == '\r' || line.p[0] == '\n') {
        exchange->has_header = exchange->status >= 200;
    } else {
        take_field(exchange, line);
    }
    return line.len;
}

/* Nothing of it is needed. What is too long is cut off, and so is its connection. */
static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    (void)bytes;
    exchange->body_bytes += size * count;
    return exchange->body_bytes > TRANSPORT_BODY_MAX ? 0 : size * count;
}

/* The address that is about to be connected to. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct exchange *exchange = arg;
    (void)purpose;
    if (!exchange->may_be_private && !push_address_is_public(&address->addr)) {
        exchange->is_private = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void
exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    queue_remove(&exchange->link);
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    free(exchange->body);
    free(exchange);
}

static void
finish(struct exchange *exchange, CURLcode code)
{
    struct transport_answer *answer = &exchange->answer;
    if (exchange->has_header)
        answer->status = exchange->status;
    else
        snprintf(answer->why, sizeof answer->why, "%s",
                 exchange->is_private ? "its name leads to a private address"
                                      : curl_easy_strerror(code));
    curl_loop_remove(exchange->transport->loop, exchange->easy);
    exchange->done(exchange->arg, answer);
    exchange_free(exchange);
}

/* --- a request ---------------------------------------------------------------------- */

static int
add_header(struct exchange *exchange, const char *name, const char *value)
{
    struct buf line = {0};
    struct curl_slist *longer = NULL;
    buf_printf(&line, "%s: %s", name, value);
    buf_append(&line, "", 1);
    if (!line.failed)
        longer = curl_slist_append(exchange->headers, line.p);
    buf_fini(&line);
    if (longer == NULL)
        return -1;
    exchange->headers = longer;
    return 0;
}

/* RFC 8030 section 5. */
static int
add_headers(struct exchange *exchange, const struct transport_request *request)
{
    char ttl[24];
    snprintf(ttl, sizeof ttl, "%" PRId64, request->ttl_s);
    if (add_header(exchange, "TTL", ttl) != 0 ||
        add_header(exchange, "Urgency", request->urgency) != 0 ||
        add_header(exchange, "Authorization", request->authorization) != 0 ||
        add_header(exchange, "Content-Encoding", "aes128gcm") != 0 ||
        add_header(exchange, "Content-Type", "application/octet-stream") != 0)
        return -1;
    return request->topic == NULL ? 0 : add_header(exchange, "Topic", request->topic);
}

static void
set_options(struct exchange *exchange, const struct transport_request *request)
{
    CURL *easy = exchange->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                     request->may_be_private ? "http,https" : "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)TRANSPORT_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TRANSPORT_TOTAL_MS);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request->body.len);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "rowcast/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    if (exchange->transport->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, exchange->transport->ca_file);
}

int
transport_send(struct transport *transport, const struct transport_request *request)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return -1;
    queue_link_init(&exchange->link);
    exchange->transport = transport;
    exchange->easy = curl_easy_init();
    exchange->body = malloc(request->body.len);
    exchange->may_be_private = request->may_be_private;
    exchange->done = request->done;
    exchange->arg = request->arg;
    if (exchange->easy != NULL && exchange->body != NULL &&
        add_headers(exchange, request) == 0) {
        memcpy(exchange->body, request->body.p, request->body.len);
        set_options(exchange, request);
        queue_push(&transport->exchanges, &exchange->link);
        if (curl_loop_add(transport->loop, exchange->easy) == 0)
            return 0;
    }
    exchange_free(exchange);
    return -1;
}

/* --- life --------------------------------------------------------------------------- */

/* libcurl is done with a request. */
static void
on_finished(void *of_easy, CURLcode code)
{
    finish(of_easy, code);
}

struct transport *
transport_new(uv_loop_t *loop, const char *ca_file, struct error *error)
{
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL || (transport->loop = curl_loop_new(loop, on_finished)) == NULL) {
        error_set(error, "cannot start libcurl: out of memory");
        free(transport);
        return NULL;
    }
    transport->ca_file = ca_file;
    queue_init(&transport->exchanges);
    return transport;
}

void
transport_free(struct transport *transport)
{
    struct queue_link *link;
    if (transport == NULL)
        return;
    while ((link = queue_head(&transport->exchanges)) != NULL) {
        struct exchange *exchange = queue_item(link, struct exchange, link);
        exchange->has_header = false;
        finish(exchange, CURLE_ABORTED_BY_CALLBACK);
    }
    curl_loop_free(transport->loop);
    free(transport);
}

#else /* no libcurl */

bool
transport_is_built(void)
{
    return false;
}

struct transport *
transport_new(uv_loop_t *loop, const char *ca_file, struct error *error)
{
    (void)loop, (void)ca_file;
    error_set(error, "this rowcast was built without libcurl and cannot send: install "
                     "libcurl4-openssl-dev, configure and build it again");
    return NULL;
}

void
transport_free(struct transport *transport)
{
    (void)transport;
}

int
transport_send(struct transport *transport, const struct transport_request *request)
{
    (void)transport, (void)request;
    return -1;
}

#endif
