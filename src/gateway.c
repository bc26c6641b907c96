/* gateway.c - the connections' life: accepted, reading a request, being answered, flushing.
 *
 * cmd_serve.c starts it and gives the handlers; intake.c parses, fcgi.c turns params into an
 * environment. A connection is freed only from uv_close's callback, at the end of a turn of
 * the loop, so no caller finds its wire gone under its feet. accept.c-like duties (EMFILE)
 * are here too, as they end in the same states. */
#include "config.h"

#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi.h"
#include "intake.h"
#include "queue.h"

/* Accepted in one turn, so that a flood of connects leaves time for rows. */
#define ACCEPTS_PER_TURN 256
#define ACCEPT_PAUSE_MS 100
#define READ_BYTES 65536

enum conn_state {
    CONN_READING,  /* waits for a request, or is in the middle of one */
    CONN_BUSY,     /* the request is with its handler; the wire has a reader */
    CONN_FLUSHING, /* answered; the last bytes wait for the socket */
    CONN_CLOSED    /* uv_close is under way */
};

struct conn {
    uv_poll_t poll;
    struct wire wire;
    struct intake intake;
    struct gateway *gateway;
    struct queue_link deadline; /* in gateway->partial while a request is awaited */
    uint64_t since_ms;          /* when that began */
    uint8_t state;              /* enum conn_state */
    bool wants_write;
    bool fresh; /* no request yet: a deadline runs from the accept on */
};

struct acceptor {
    uv_poll_t poll;
    struct gateway *gateway;
    int fd;
};

struct gateway {
    uv_loop_t *loop;
    struct gateway_config config;
    struct gateway_handlers handlers;
    void *arg;
    struct fcgi *fcgi;
    struct acceptor *acceptors[LISTEN_SOCKETS_MAX];
    int acceptor_count;
    struct queue partial; /* conns that owe us a request, oldest first */
    struct queue idle;    /* kept-alive conns between two requests */
    uv_timer_t deadline_timer;
    uv_timer_t pause_timer; /* accept pauses: no descriptors */
    int reserve_fd;         /* given up to let one more connection in on EMFILE */
    unsigned conns;
    unsigned handles; /* of ours that libuv still knows */
    bool stopping;
    bool freed;
    char scratch[READ_BYTES];
};

static void conn_close(struct conn *conn);
static void gateway_resume_accept(struct gateway *gateway);

/* --- lifetime ---------------------------------------------------------------------------- */

static void
gateway_handle_closed(struct gateway *gateway)
{
    gateway->handles--;
    if (!gateway->freed || gateway->handles > 0)
        return;
    if (gateway->reserve_fd >= 0)
        close(gateway->reserve_fd);
    fcgi_free(gateway->fcgi);
    free(gateway);
}

static void
on_conn_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct gateway *gateway = conn->gateway;
    wire_fini(&conn->wire);
    intake_fini(&conn->intake);
    free(conn);
    gateway_handle_closed(gateway);
}

static void
conn_close(struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    struct gateway *gateway = conn->gateway;
    bool was_over_limit = conn->wire.over_limit;

    conn->state = CONN_CLOSED;
    conn->wire.reader = NULL;
    queue_remove(&conn->deadline);
    gateway->conns--;
    uv_poll_stop(&conn->poll);
    close(conn->wire.fd);
    conn->wire.fd = -1;
    uv_close((uv_handle_t *)&conn->poll, on_conn_closed);
    if (was_over_limit || gateway->reserve_fd < 0)
        gateway_resume_accept(gateway);
}

/* Closes and tells the reader, if there is one. */
static void
conn_lose(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (conn->state == CONN_BUSY && conn->wire.reader != NULL && !gateway->freed)
        gateway->handlers.gone(gateway->arg, &conn->wire, GONE_CLOSED);
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

static void gateway_arm_deadline(struct gateway *gateway);

static void
conn_await_request(struct conn *conn, bool fresh)
{
    struct gateway *gateway = conn->gateway;
    conn->state = CONN_READING;
    conn->fresh = fresh;
    conn->since_ms = uv_now(gateway->loop);
    queue_remove(&conn->deadline);
    bool owes = fresh || intake_is_midway(&conn->intake);
    queue_push(owes ? &gateway->partial : &gateway->idle, &conn->deadline);
    if (owes)
        gateway_arm_deadline(gateway);
}

static void
conn_set_want_write(struct conn *conn, bool on)
{
    if (conn->wants_write == on)
        return;
    conn->wants_write = on;
    conn_watch(conn);
}

static void
wire_want_write(struct wire *wire, bool on)
{
    conn_set_want_write((struct conn *)((char *)wire - offsetof(struct conn, wire)), on);
}

static void conn_read(struct conn *conn);

/* The answer is out to the last byte. */
static void
conn_answered(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (!conn->intake.keep_conn || gateway->stopping || conn->wire.over_limit) {
        conn_close(conn);
        return;
    }
    intake_set_idle(&conn->intake);
    conn_await_request(conn, false);
    conn_set_want_write(conn, false);
}

static void
wire_release(struct wire *wire)
{
    struct conn *conn = (struct conn *)((char *)wire - offsetof(struct conn, wire));
    wire->reader = NULL;
    if (wire_is_clear(wire)) {
        conn_answered(conn);
        return;
    }
    conn->state = CONN_FLUSHING;
    conn_set_want_write(conn, true);
}

static void
wire_drop(struct wire *wire)
{
    conn_close((struct conn *)((char *)wire - offsetof(struct conn, wire)));
}

static const struct wire_ops gateway_wire_ops = {wire_want_write, wire_release, wire_drop};

/* --- requests in ------------------------------------------------------------------------- */

static void
conn_start_request(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    const char *const *envp = fcgi_params(gateway->fcgi, intake_params(&conn->intake));
    if (envp == NULL) {
        log_line(gateway->config.log, LOG_WARN,
                 "libfcgi refused a request; connection closed");
        conn_close(conn);
        return;
    }
    intake_set_busy(&conn->intake);
    queue_remove(&conn->deadline);
    conn->state = CONN_BUSY;
    conn->fresh = false;
    conn->wire.request_id = conn->intake.request_id;
    gateway->handlers.request(gateway->arg, &conn->wire, envp);
}

static void
conn_abort(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (conn->state == CONN_BUSY && conn->wire.reader != NULL)
        gateway->handlers.gone(gateway->arg, &conn->wire, GONE_ABORTED);
}

/* A short answer of the protocol itself. */
static void
conn_reply(struct conn *conn)
{
    enum wire_result result = wire_push(&conn->wire, intake_reply(&conn->intake));
    if (result == WIRE_GONE || (result == WIRE_SENT && conn->intake.close_after)) {
        conn_lose(conn);
        return;
    }
    if (conn->intake.close_after) {
        conn->intake.keep_conn = false;
        conn->state = CONN_FLUSHING;
        queue_remove(&conn->deadline);
    }
    if (result == WIRE_BLOCKED)
        conn_set_want_write(conn, true);
}

static void
conn_malformed(struct conn *conn)
{
    log_line(
        conn->gateway->config.log, LOG_WARN,
        "connection closed: %s (is it a FastCGI web server that talks to this socket?)",
        conn->intake.fault);
    conn_lose(conn);
}

static void
conn_feed(struct conn *conn, const char *p, size_t len)
{
    unsigned max_conns = conn->gateway->config.max_conns;
    while (conn->state != CONN_CLOSED) {
        switch (intake_feed(&conn->intake, &p, &len, max_conns)) {
        case INTAKE_MORE:
            return;
        case INTAKE_REQUEST:
            conn_start_request(conn);
            break;
        case INTAKE_ABORT:
            conn_abort(conn);
            break;
        case INTAKE_REPLY:
            conn_reply(conn);
            break;
        case INTAKE_MALFORMED:
            conn_malformed(conn);
            return;
        }
    }
}

static void
conn_read(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    bool was_midway = intake_is_midway(&conn->intake);
    ssize_t n =
        recv(conn->wire.fd, gateway->scratch, sizeof gateway->scratch, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* End of file while a request is being answered means that the reader is gone: no web
     * server half-closes for another reason (lighttpd's tcp-fin-propagate does for this). */
    if (n <= 0) {
        if (conn->state != CONN_FLUSHING || n < 0)
            conn_lose(conn);
        else
            uv_poll_start(&conn->poll, UV_WRITABLE, on_conn_event);
        return;
    }
    conn_feed(conn, gateway->scratch, (size_t)n);
    if (conn->state == CONN_READING && !conn->fresh && !was_midway &&
        intake_is_midway(&conn->intake))
        conn_await_request(conn,
                           false); /* the deadline runs from this request's first byte */
}

static void
conn_write(struct conn *conn)
{
    struct gateway *gateway = conn->gateway;
    if (conn->state == CONN_BUSY && conn->wire.reader != NULL) {
        gateway->handlers.writable(gateway->arg, &conn->wire);
        return;
    }
    switch (wire_flush(&conn->wire)) {
    case WIRE_SENT:
        if (conn->state == CONN_FLUSHING)
            conn_answered(conn);
        else
            conn_set_want_write(conn, false);
        break;
    case WIRE_BLOCKED:
        break;
    case WIRE_GONE:
        conn_lose(conn);
        break;
    }
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

/* --- deadlines --------------------------------------------------------------------------- */

static void
on_deadline(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    uint64_t now = uv_now(gateway->loop);
    struct queue_link *link;
    while ((link = queue_head(&gateway->partial)) != NULL) {
        struct conn *conn = queue_item(link, struct conn, deadline);
        if (now - conn->since_ms < gateway->config.request_timeout_ms)
            break;
        log_line(gateway->config.log, LOG_WARN,
                 "connection closed: no complete request within %llu ms",
                 (unsigned long long)gateway->config.request_timeout_ms);
        conn_close(conn);
    }
    gateway_arm_deadline(gateway);
}

static void
gateway_arm_deadline(struct gateway *gateway)
{
    struct queue_link *link = queue_head(&gateway->partial);
    if (link == NULL || gateway->freed)
        return;
    if (uv_is_active((uv_handle_t *)&gateway->deadline_timer))
        return;
    struct conn *conn = queue_item(link, struct conn, deadline);
    uint64_t due = conn->since_ms + gateway->config.request_timeout_ms;
    uint64_t now = uv_now(gateway->loop);
    uv_timer_start(&gateway->deadline_timer, on_deadline, due > now ? due - now : 0, 0);
}

/* --- accept ------------------------------------------------------------------------------ */

/* Takes the descriptor over. */
static void
gateway_adopt(struct gateway *gateway, int fd, bool over_limit)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || uv_poll_init(gateway->loop, &conn->poll, fd) != 0) {
        free(conn);
        close(fd);
        return;
    }
    conn->poll.data = conn;
    conn->gateway = gateway;
    conn->wire =
        (struct wire){.ops = &gateway_wire_ops, .fd = fd, .over_limit = over_limit};
    queue_link_init(&conn->deadline);
    gateway->handles++;
    gateway->conns++;
    conn_await_request(conn, true);
    conn_watch(conn);
}

static int
accept_nonblocking(int fd)
{
#ifdef HAVE_ACCEPT4
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int conn = accept(fd, NULL, NULL);
    if (conn >= 0) {
        fcntl(conn, F_SETFL, O_NONBLOCK);
        fcntl(conn, F_SETFD, FD_CLOEXEC);
    }
    return conn;
#endif
}

static void
gateway_pause_accept(struct gateway *gateway)
{
    for (int i = 0; i < gateway->acceptor_count; i++)
        uv_poll_stop(&gateway->acceptors[i]->poll);
}

static void
on_pause_over(uv_timer_t *timer)
{
    gateway_resume_accept(timer->data);
}

/* No descriptor is left. Spinning on a readable listening socket helps nobody; refusing the
 * connection makes the web server answer 502, after which an EventSource gives up. So the
 * reserve lets one in, which is told politely to come back, and accepting rests until a
 * connection has closed. */
static void
gateway_out_of_descriptors(struct gateway *gateway, int listen_fd)
{
    log_line(gateway->config.log, LOG_WARN,
             "out of file descriptors with %u connections: raise LimitNOFILE or ulimit -n",
             gateway->conns);
    if (gateway->reserve_fd >= 0) {
        close(gateway->reserve_fd);
        gateway->reserve_fd = -1;
        int fd = accept_nonblocking(listen_fd);
        if (fd >= 0)
            gateway_adopt(gateway, fd, true);
    }
    gateway_pause_accept(gateway);
    uv_timer_start(&gateway->pause_timer, on_pause_over, ACCEPT_PAUSE_MS, 0);
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct acceptor *acceptor = poll->data;
    struct gateway *gateway = acceptor->gateway;
    (void)events;
    if (status < 0)
        return;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept_nonblocking(acceptor->fd);
        if (fd >= 0) {
            gateway_adopt(gateway, fd, false);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            gateway_out_of_descriptors(gateway, acceptor->fd);
            return;
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

static void
gateway_resume_accept(struct gateway *gateway)
{
    if (gateway->stopping)
        return;
    if (gateway->reserve_fd < 0)
        gateway->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (gateway->reserve_fd < 0) {
        uv_timer_start(&gateway->pause_timer, on_pause_over, ACCEPT_PAUSE_MS, 0);
        return;
    }
    uv_timer_stop(&gateway->pause_timer);
    for (int i = 0; i < gateway->acceptor_count; i++)
        uv_poll_start(&gateway->acceptors[i]->poll, UV_READABLE, on_acceptable);
}

/* --- start and end ----------------------------------------------------------------------- */

struct gateway *
gateway_new(uv_loop_t *loop, const struct gateway_config *config,
            const struct gateway_handlers *handlers, void *arg, struct error *error)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    gateway->fcgi = fcgi_new(error);
    if (gateway->fcgi == NULL) {
        free(gateway);
        return NULL;
    }
    gateway->loop = loop;
    gateway->config = *config;
    gateway->handlers = *handlers;
    gateway->arg = arg;
    gateway->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    queue_init(&gateway->partial);
    queue_init(&gateway->idle);
    uv_timer_init(loop, &gateway->deadline_timer);
    uv_timer_init(loop, &gateway->pause_timer);
    gateway->deadline_timer.data = gateway;
    gateway->pause_timer.data = gateway;
    gateway->handles = 2;
    return gateway;
}

int
gateway_listen(struct gateway *gateway, const struct listeners *listeners,
               struct error *error)
{
    for (int i = 0; i < listeners->count; i++) {
        struct acceptor *acceptor = calloc(1, sizeof *acceptor);
        if (acceptor == NULL ||
            uv_poll_init(gateway->loop, &acceptor->poll, listeners->fds[i]) != 0) {
            free(acceptor);
            return error_set(error, "cannot watch listening socket %d", listeners->fds[i]);
        }
        acceptor->poll.data = acceptor;
        acceptor->gateway = gateway;
        acceptor->fd = listeners->fds[i];
        gateway->acceptors[gateway->acceptor_count++] = acceptor;
        gateway->handles++;
    }
    gateway_resume_accept(gateway);
    return 0;
}

static void
on_acceptor_closed(uv_handle_t *handle)
{
    struct acceptor *acceptor = handle->data;
    struct gateway *gateway = acceptor->gateway;
    free(acceptor);
    gateway_handle_closed(gateway);
}

static void
close_all(struct queue *queue)
{
    struct queue_link *link;
    while ((link = queue_head(queue)) != NULL)
        conn_close(queue_item(link, struct conn, deadline));
}

void
gateway_stop(struct gateway *gateway)
{
    if (gateway->stopping)
        return;
    gateway->stopping = true;
    uv_timer_stop(&gateway->pause_timer);
    for (int i = 0; i < gateway->acceptor_count; i++) {
        uv_poll_stop(&gateway->acceptors[i]->poll);
        uv_close((uv_handle_t *)&gateway->acceptors[i]->poll, on_acceptor_closed);
    }
    gateway->acceptor_count = 0;
    close_all(&gateway->idle);
}

unsigned
gateway_connections(const struct gateway *gateway)
{
    return gateway->conns;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    gateway_handle_closed(handle->data);
}

/* Connections that are being answered stand in no queue of ours: libuv knows them all. */
static void
close_if_ours(uv_handle_t *handle, void *arg)
{
    if (handle->type == UV_POLL && !uv_is_closing(handle)) {
        uv_poll_t *poll = (uv_poll_t *)handle;
        if (poll->poll_cb == on_conn_event && ((struct conn *)handle->data)->gateway == arg)
            conn_close(handle->data);
    }
}

void
gateway_free(struct gateway *gateway)
{
    if (gateway == NULL)
        return;
    gateway_stop(gateway);
    gateway->freed = true;
    uv_walk(gateway->loop, close_if_ours, gateway);
    uv_close((uv_handle_t *)&gateway->deadline_timer, on_timer_closed);
    uv_close((uv_handle_t *)&gateway->pause_timer, on_timer_closed);
}
