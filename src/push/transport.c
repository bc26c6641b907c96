/* transport.c - libcurl's multi interface on libuv's loop; see push/transport.h.
 *
 * libcurl says which sockets it waits for (on_socket) and when it wants to be called next
 * (on_timeout); libuv calls it then (curl.se/libcurl/c/curl_multi_socket_action.html). */
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

#define CONNECTIONS_OF_HOST 8L
#define CONNECTIONS_KEPT 64L
#define STREAMS_OF_CONNECTION 100L

struct transport {
    CURLM *multi;
    uv_timer_t timer;
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

struct watched {
    struct transport *transport;
    uv_poll_t poll;
    curl_socket_t socket;
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
    curl_multi_remove_handle(exchange->transport->multi, exchange->easy);
    exchange->done(exchange->arg, answer);
    exchange_free(exchange);
}

static void
take_finished(struct transport *transport)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(transport->multi, &left)) != NULL) {
        struct exchange *exchange = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        finish(exchange, code);
    }
}

/* --- the loop ----------------------------------------------------------------------- */

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct watched *watched = poll->data;
    struct transport *transport = watched->transport;
    int running;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
                (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) |
                (status < 0 ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(transport->multi, watched->socket, flags, &running);
    take_finished(transport);
}

static void
on_timer(uv_timer_t *timer)
{
    struct transport *transport = timer->data;
    int running;
    curl_multi_socket_action(transport->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(transport);
}

/* Never from within: libcurl may be at work. */
static int
on_timeout(CURLM *multi, long ms, void *arg)
{
    struct transport *transport = arg;
    (void)multi;
    if (ms < 0)
        uv_timer_stop(&transport->timer);
    else
        uv_timer_start(&transport->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void
on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct watched *
watch_socket(struct transport *transport, curl_socket_t socket)
{
    struct watched *watched = calloc(1, sizeof *watched);
    if (watched == NULL)
        return NULL;
    watched->transport = transport;
    watched->socket = socket;
    if (uv_poll_init_socket(transport->timer.loop, &watched->poll, socket) != 0) {
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    curl_multi_assign(transport->multi, socket, watched);
    return watched;
}

static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *of_socket)
{
    struct transport *transport = arg;
    struct watched *watched = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            curl_multi_assign(transport->multi, socket, NULL);
            uv_poll_stop(&watched->poll);
            uv_close((uv_handle_t *)&watched->poll, on_poll_closed);
        }
        return 0;
    }
    if (watched == NULL)
        watched = watch_socket(transport, socket);
    if (watched == NULL)
        return -1;
    int events =
        (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watched->poll, events, on_poll) == 0 ? 0 : -1;
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
        if (curl_multi_add_handle(transport->multi, exchange->easy) == CURLM_OK)
            return 0;
    }
    exchange_free(exchange);
    return -1;
}

/* --- life --------------------------------------------------------------------------- */

struct transport *
transport_new(uv_loop_t *loop, const char *ca_file, struct error *error)
{
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (transport->multi = curl_multi_init()) == NULL) {
        error_set(error, "cannot start libcurl: out of memory");
        free(transport);
        return NULL;
    }
    CURLM *multi = transport->multi;
    transport->ca_file = ca_file;
    queue_init(&transport->exchanges);
    uv_timer_init(loop, &transport->timer);
    transport->timer.data = transport;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transport);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transport);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_OF_HOST);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_OF_CONNECTION);
    return transport;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
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
    curl_multi_cleanup(transport->multi);
    curl_global_cleanup();
    uv_timer_stop(&transport->timer);
    uv_close((uv_handle_t *)&transport->timer, on_timer_closed);
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
