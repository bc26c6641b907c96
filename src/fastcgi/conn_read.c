/* conn_read.c - requests from the web server: bytes of a connection become calls of on_request.
 *
 * fastcgi/conn.c calls conn_read when the socket is readable. fastcgi/parser.c parses what is
 * read, fastcgi/libfcgi.c turns params into an environment, and a complete request goes to the
 * gateway's user with the connection's output. What the protocol itself asks for is answered here.
 * How the answer to a request gets out is not looked at here. */
#include "config.h"

#include "fastcgi/internal.h"

#include <errno.h>
#include <sys/socket.h>

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
        conn_watch_writable(conn);
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
void
conn_read(struct conn *conn)
{
    struct gateway_budget *reads = &conn->gateway->reads;
    uint64_t began = gateway_begin_work(reads);
    if (began == 0)
        return;
    conn_read_now(conn);
    gateway_end_work(reads, began);
}
