/* conn.c - one connection from the web server: it reads a request, waits for the answer, flushes
 * it.
 *
 * fastcgi/gateway.c opens it; fastcgi/parser.c parses what it sends, fastcgi/libfcgi.c turns
 * params into an environment. A connection is freed only in uv_close's callback, at the end of a
 * turn of the loop, so its output is valid for the whole turn. */
#include "config.h"

#include "fastcgi/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void
on_conn_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct gateway *gateway = conn->gateway;
    output_fini(&conn->output);
    fcgi_parser_fini(&conn->parser);
    free(conn);
    gateway_handle_closed(gateway);
}

/* --- answers that wait ------------------------------------------------------------------- */

/* False: the answer may not wait, and the connection is closed. */
static bool
conn_enter_flushing(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (!gateway->config.waiting.may_wait(gateway->arg, &conn->output)) {
        conn_close(conn);
        return false;
    }
    conn->state = CONN_FLUSHING;
    conn->since_ms = uv_now(gateway->loop);
    queue_push(&gateway->flushing, &conn->deadline);
    gateway_arm_deadline(gateway);
    return true;
}

static void
conn_leave_flushing(struct conn *conn)
{
    if (conn->state != CONN_FLUSHING)
        return;
    conn->gateway->config.waiting.waited(conn->gateway->arg, &conn->output);
    queue_remove(&conn->deadline);
}

/* --- the end ----------------------------------------------------------------------------- */

void
conn_close(struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    struct gateway *gateway = conn->gateway;
    bool was_over_limit = conn->output.over_limit;

    conn_leave_flushing(conn);
    conn->state = CONN_CLOSED;
    output_clear_owner(&conn->output);
    queue_remove(&conn->deadline);
    gateway->conns--;
    uv_poll_stop(&conn->poll);
    close(conn->output.fd);
    conn->output.fd = -1;
    uv_close((uv_handle_t *)&conn->poll, on_conn_closed);
    if (was_over_limit || gateway->reserve_fd < 0)
        gateway_resume_accept(gateway);
}

static bool
conn_has_owner(const struct conn *conn)
{
    return conn->state == CONN_BUSY && conn->output.ops != NULL;
}

/* Closes; the output's owner, if there is one, loses it. */
static void
conn_lose(struct conn *conn)
{
    if (conn_has_owner(conn) && !conn->gateway->freed)
        conn->output.ops->gone(&conn->output, GONE_CLOSED);
    conn_close(conn);
}

/* --- states ------------------------------------------------------------------------------ */

static void on_conn_event(uv_poll_t *poll, int status, int events);

/* The one place that says what the loop watches for. */
static void
conn_watch(struct conn *conn)
{
    int events = UV_READABLE;
    if (conn->wants_write)
        events |= UV_WRITABLE;
    if (uv_poll_start(&conn->poll, events, on_conn_event) != 0)
        conn_lose(conn);
}

static void
conn_await_request(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    conn->state = CONN_READING;
    conn->since_ms = uv_now(gateway->loop);
    queue_remove(&conn->deadline);
    bool owes = conn->fresh || fcgi_parser_is_midway(&conn->parser);
    queue_push(owes ? &gateway->partial : &gateway->idle, &conn->deadline);
    if (owes)
        gateway_arm_deadline(gateway);
}

static void
conn_arm(struct conn *conn)
{
    if (!conn->wants_write) {
        conn->wants_write = true;
        conn_watch(conn);
    }
}

static void
conn_unarm(struct conn *conn)
{
    if (conn->wants_write) {
        conn->wants_write = false;
        conn_watch(conn);
    }
}

/* The answer is out to the last byte. */
static void
conn_answered(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (!conn->parser.keep_conn || gateway->stopping || conn->output.over_limit) {
        conn_close(conn);
        return;
    }
    conn_leave_flushing(conn);
    fcgi_parser_set_idle(&conn->parser);
    conn->fresh = false;
    conn_await_request(conn);
    conn_unarm(conn);
}

/* --- for the output ---------------------------------------------------------------------- */

static struct conn *
conn_of(struct output *output)
{
    return queue_item(output, struct conn, output);
}

static void
conn_arm_output(struct output *output)
{
    conn_arm(conn_of(output));
}

static void
conn_disarm_output(struct output *output)
{
    conn_unarm(conn_of(output));
}

static void
conn_release_output(struct output *output)
{
    struct conn *conn = conn_of(output);
    if (output_is_clear(output))
        conn_answered(conn);
    else if (conn_enter_flushing(conn))
        conn_arm(conn);
}

static void
conn_drop_output(struct output *output)
{
    conn_close(conn_of(output));
}

static const struct output_transport conn_transport = {
    conn_arm_output, conn_disarm_output, conn_release_output, conn_drop_output};

/* --- requests in ------------------------------------------------------------------------- */

static void
conn_start_request(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    const char *const *envp =
        libfcgi_params(gateway->fcgi, fcgi_parser_params(&conn->parser));
    if (envp == NULL) {
        gateway_warn(gateway, GATEWAY_NOT_TAKEN,
                     "libfcgi refused a request; connection closed");
        conn_close(conn);
        return;
    }
    struct request_body body = fcgi_parser_take_body(&conn->parser);
    fcgi_parser_set_busy(&conn->parser);
    queue_remove(&conn->deadline);
    conn->state = CONN_BUSY;
    conn->fresh = false;
    conn->output.request_id = conn->parser.request_id;
    conn->output.tag = (struct output_tag){0, 0};
    gateway->on_request(gateway->arg, &conn->output, envp, &body);
    buf_fini(&body.bytes);
}

static void
conn_abort(struct conn *conn)
{
    if (conn_has_owner(conn))
        conn->output.ops->gone(&conn->output, GONE_ABORTED);
}

/* A short answer of the protocol itself. */
static void
conn_reply(struct conn *conn)
{
    enum output_result result =
        output_push(&conn->output, fcgi_parser_reply(&conn->parser));
    if (result == OUTPUT_GONE || (result == OUTPUT_SENT && conn->parser.close_after)) {
        conn_lose(conn);
        return;
    }
    if (conn->parser.close_after) {
        conn->parser.keep_conn = false;
        if (!conn_enter_flushing(conn))
            return;
    }
    if (result == OUTPUT_BLOCKED)
        conn_arm(conn);
}

static void
conn_malformed(struct conn *conn)
{
    gateway_warn(
        conn->gateway, GATEWAY_MALFORMED,
        "connection closed: %s (is it a FastCGI web server that talks to this socket?)",
        conn->parser.fault);
    conn_lose(conn);
}

static void
conn_feed(struct conn *conn, const char *p, size_t len)
{
    unsigned max_conns = conn->gateway->config.max_conns;
    while (conn->state != CONN_CLOSED) {
        switch (fcgi_parser_feed(&conn->parser, &p, &len, max_conns)) {
        case FCGI_PARSER_MORE:
            return;
        case FCGI_PARSER_REQUEST:
            conn_start_request(conn);
            break;
        case FCGI_PARSER_ABORT:
            conn_abort(conn);
            break;
        case FCGI_PARSER_REPLY:
            conn_reply(conn);
            break;
        case FCGI_PARSER_MALFORMED:
            conn_malformed(conn);
            return;
        }
    }
}

/* End of file while a request is being answered means that the reader is gone: no web server
 * half-closes for another reason (lighttpd's tcp-fin-propagate does so for this). If our half is
 * still open, the answer is ended properly; else lighttpd would log an error for each page that is
 * closed. */
static void
conn_ended(struct conn *conn)
{
    if (conn->state == CONN_FLUSHING) {
        uv_poll_start(&conn->poll, UV_WRITABLE, on_conn_event);
        return;
    }
    if (conn_has_owner(conn)) {
        conn->output.ops->gone(&conn->output, GONE_CLOSED);
        output_end(&conn->output);
    }
    conn_close(conn);
}

static void
conn_read_now(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    bool was_midway = fcgi_parser_is_midway(&conn->parser);
    ssize_t n =
        recv(conn->output.fd, gateway->scratch, sizeof gateway->scratch, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        conn_lose(conn);
        return;
    }
    if (n == 0) {
        conn_ended(conn);
        return;
    }
    conn_feed(conn, gateway->scratch, (size_t)n);
    if (conn->state == CONN_READING && !conn->fresh && !was_midway &&
        fcgi_parser_is_midway(&conn->parser))
        conn_await_request(conn); /* the deadline runs from this request's first byte */
}

/* The descriptor stays readable for what is not read now, and the next turn reads it. */
static void
conn_read(struct conn *conn)
{
    struct gateway_budget *reads = &conn->gateway->reads;
    uint64_t began = gateway_begin_work(reads);
    if (began == 0)
        return;
    conn_read_now(conn);
    gateway_end_work(reads, began);
}

static void
conn_write_now(struct conn *conn)
{
    if (conn_has_owner(conn)) {
        conn->output.ops->writable(&conn->output);
        return;
    }
    size_t before = output_pending_bytes(&conn->output);
    switch (output_flush(&conn->output)) {
    case OUTPUT_SENT:
        if (conn->state == CONN_FLUSHING)
            conn_answered(conn);
        else
            conn_unarm(conn);
        break;
    case OUTPUT_BLOCKED:
        if (conn->state == CONN_FLUSHING && output_pending_bytes(&conn->output) < before) {
            conn->since_ms = uv_now(conn->gateway->loop);
            queue_push(&conn->gateway->flushing, &conn->deadline);
        }
        break;
    case OUTPUT_GONE:
        conn_lose(conn);
        break;
    }
}

/* Thousands of waiting answers may become writable at once. */
static void
conn_write(struct conn *conn)
{
    struct gateway_budget *writes = &conn->gateway->writes;
    uint64_t began = gateway_begin_work(writes);
    if (began == 0)
        return;
    conn_write_now(conn);
    gateway_end_work(writes, began);
}

static void
on_conn_event(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    if (status < 0) {
        conn_lose(conn);
        return;
    }
    if (events & UV_READABLE)
        conn_read(conn);
    if ((events & UV_WRITABLE) && conn->state != CONN_CLOSED)
        conn_write(conn);
}

/* --- from fastcgi/gateway.c ----------------------------------------------------------- */

void
conn_open(struct gateway *gateway, int fd, enum conn_place place)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || uv_poll_init(gateway->loop, &conn->poll, fd) != 0) {
        free(conn);
        close(fd);
        return;
    }
    conn->poll.data = conn;
    conn->gateway = gateway;
    conn->output = (struct output){
        .transport = &conn_transport, .fd = fd, .over_limit = place == CONN_ON_RESERVE};
    conn->parser.takes_body = gateway->config.takes_body;
    queue_link_init(&conn->deadline);
    gateway->handles++;
    gateway->conns++;
    conn->fresh = true;
    conn_await_request(conn);
    conn_watch(conn);
}

bool
conn_owns_handle(const uv_handle_t *handle, const struct gateway *gateway)
{
    const uv_poll_t *poll = (const uv_poll_t *)handle;
    return handle->type == UV_POLL && poll->poll_cb == on_conn_event &&
           ((const struct conn *)handle->data)->gateway == gateway;
}
