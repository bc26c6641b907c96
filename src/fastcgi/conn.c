/* conn.c - one connection from the web server: its states, its answer on the way out, its end.
 *
 * fastcgi/gateway.c opens it, fastcgi/conn_read.c reads requests from it, and the output's owner
 * writes the answer. A connection reads a request, is busy until it is answered, and flushes what
 * the socket has not taken. It is freed only in uv_close's callback, at the end of a turn of the
 * loop, so its output is valid for the whole turn. */
#include "config.h"

#include "fastcgi/internal.h"

#include <stdlib.h>
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

bool
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

bool
conn_has_owner(const struct conn *conn)
{
    return conn->state == CONN_BUSY && conn->output.ops != NULL;
}

void
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

void
conn_watch_writable(struct conn *conn)
{
    uv_poll_start(&conn->poll, UV_WRITABLE, on_conn_event);
}

void
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

void
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

/* --- events ------------------------------------------------------------------------------ */

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
