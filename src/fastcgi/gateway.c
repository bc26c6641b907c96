/* gateway.c - accepts connections and limits how long a request may take to arrive.
 *
 * serve/serve.c starts it and gives the handlers; what happens on a connection is in
 * fastcgi/conn.c. Running out of descriptors is an ordinary outcome: accepting pauses, and never
 * spins. */
#include "config.h"

#include "fastcgi/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* How many connections one turn accepts: a flood must leave time for rows, and must not
 * all go to the worker that wakes first. */
#define ACCEPTS_PER_TURN 256
#define ACCEPTS_PER_TURN_SHARED 4
#define ACCEPT_PAUSE_MS 100
#define GATEWAY_WARN_MS 10000

#define BUDGET_NS 3000000 /* of each kind of work in a turn: 3 ms */
#define CLOSE_AGAIN_MS 1  /* until the next turn; a timer of 0 would fire in this one */

/* --- lifetime ---------------------------------------------------------------------------- */

void
gateway_handle_closed(struct gateway *gateway)
{
    gateway->handles--;
    if (!gateway->freed || gateway->handles > 0)
        return;
    if (gateway->reserve_fd >= 0)
        close(gateway->reserve_fd);
    libfcgi_free(gateway->fcgi);
    free(gateway);
}

/* --- turns ------------------------------------------------------------------------------- */

static void
on_turn(uv_prepare_t *turn)
{
    struct gateway *gateway = turn->data;
    const struct gateway_budget whole = {0};
    gateway->reads = gateway->writes = gateway->closes = whole;
}

uint64_t
gateway_begin_work(const struct gateway_budget *budget)
{
    return budget->used_ns < BUDGET_NS ? uv_hrtime() : 0;
}

void
gateway_end_work(struct gateway_budget *budget, uint64_t began)
{
    budget->used_ns += uv_hrtime() - began;
}

/* --- warnings ------------------------------------------------------------------------ */

void
gateway_warn(struct gateway *gateway, enum gateway_fault fault, const char *format, ...)
{
    uint64_t now_ms = uv_now(gateway->loop);
    uint64_t *suppressed = &gateway->faults[fault].suppressed;
    char text[ERROR_TEXT_MAX];
    char more[80] = "";
    va_list args;
    if (now_ms < gateway->faults[fault].quiet_until_ms) {
        ++*suppressed;
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (*suppressed > 0)
        snprintf(more, sizeof more, " (and %llu times since the last such line)",
                 (unsigned long long)*suppressed);
    log_line(gateway->config.log, LOG_WARN, "%s%s", text, more);
    gateway->faults[fault].quiet_until_ms = now_ms + GATEWAY_WARN_MS;
    *suppressed = 0;
}

/* --- deadlines --------------------------------------------------------------------------- */

/* Returns the head of the queue if its time is over. Else NULL, and *in is the time until then in
 * milliseconds; UINT64_MAX: never. */
static struct conn *
next_overdue(const struct gateway *gateway, const struct queue *queue, uint64_t timeout_ms,
             uint64_t *in)
{
    struct queue_link *link = queue_head(queue);
    *in = UINT64_MAX;
    if (link == NULL || timeout_ms == 0)
        return NULL;
    struct conn *conn = queue_item(link, struct conn, deadline);
    uint64_t due = conn->since_ms + timeout_ms;
    uint64_t now = uv_now(gateway->loop);
    *in = due > now ? due - now : 0;
    return *in == 0 ? conn : NULL;
}

/* NULL: no connection's time is over. */
static struct conn *
next_to_close(struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;
    uint64_t request_ms = config->request_timeout_ms;
    uint64_t in;
    struct conn *conn = next_overdue(gateway, &gateway->partial, request_ms, &in);
    if (conn != NULL) {
        gateway_warn(gateway, GATEWAY_TOO_SLOW,
                     "connection closed: no complete request within %llu ms",
                     (unsigned long long)request_ms);
        return conn;
    }
    conn = next_overdue(gateway, &gateway->flushing, config->stall_ms, &in);
    struct queue_link *idle = gateway->stopping ? queue_head(&gateway->idle) : NULL;
    return conn == NULL && idle != NULL ? queue_item(idle, struct conn, deadline) : conn;
}

static void
on_deadline(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    struct conn *conn;
    uint64_t began;
    while ((began = gateway_begin_work(&gateway->closes)) != 0 &&
           (conn = next_to_close(gateway)) != NULL) {
        conn_close(conn);
        gateway_end_work(&gateway->closes, began);
    }
    gateway_arm_deadline(gateway);
}

void
gateway_arm_deadline(struct gateway *gateway)
{
    uint64_t in;
    uint64_t stall_in;
    next_overdue(gateway, &gateway->partial, gateway->config.request_timeout_ms, &in);
    next_overdue(gateway, &gateway->flushing, gateway->config.stall_ms, &stall_in);
    if (stall_in < in)
        in = stall_in;
    if (in == 0 || (gateway->stopping && queue_head(&gateway->idle) != NULL))
        in = CLOSE_AGAIN_MS;
    if (in == UINT64_MAX || gateway->freed)
        return;
    if (uv_is_active((uv_handle_t *)&gateway->deadline_timer) &&
        uv_timer_get_due_in(&gateway->deadline_timer) <= in)
        return;
    uv_timer_start(&gateway->deadline_timer, on_deadline, in, 0);
}

/* --- accept ------------------------------------------------------------------------------ */

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

/* No descriptor is left. To poll a readable listening socket again and again does not help; if the
 * connection is refused, the web server answers 502, after which an EventSource gives up. So the
 * reserve descriptor accepts one connection, which gets the advice to come back, and accepting
 * pauses until a connection has closed. */
static void
gateway_out_of_descriptors(struct gateway *gateway, int listen_fd)
{
    gateway_warn(
        gateway, GATEWAY_NO_DESCRIPTORS,
        "out of file descriptors with %u connections: raise LimitNOFILE or ulimit -n",
        gateway->conns);
    if (gateway->reserve_fd >= 0) {
        close(gateway->reserve_fd);
        gateway->reserve_fd = -1;
        int fd = accept_nonblocking(listen_fd);
        if (fd >= 0)
            conn_open(gateway, fd, CONN_ON_RESERVE);
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
    int most = gateway->config.is_shared ? ACCEPTS_PER_TURN_SHARED : ACCEPTS_PER_TURN;
    for (int i = 0; i < most; i++) {
        uint64_t began = gateway_begin_work(&gateway->reads);
        if (began == 0)
            return;
        int fd = accept_nonblocking(acceptor->fd);
        if (fd >= 0) {
            conn_open(gateway, fd, CONN_REGULAR);
            gateway_end_work(&gateway->reads, began);
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

void
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
            gateway_request_fn on_request, void *arg, struct error *error)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    gateway->fcgi = libfcgi_new(error);
    if (gateway->fcgi == NULL) {
        free(gateway);
        return NULL;
    }
    gateway->loop = loop;
    gateway->config = *config;
    gateway->on_request = on_request;
    gateway->arg = arg;
    gateway->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    queue_init(&gateway->partial);
    queue_init(&gateway->idle);
    queue_init(&gateway->flushing);
    uv_timer_init(loop, &gateway->deadline_timer);
    uv_timer_init(loop, &gateway->pause_timer);
    uv_prepare_init(loop, &gateway->turn);
    gateway->deadline_timer.data = gateway;
    gateway->pause_timer.data = gateway;
    gateway->turn.data = gateway;
    gateway->handles = 3;
    uv_prepare_start(&gateway->turn, on_turn);
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
    gateway_arm_deadline(gateway);
}

unsigned
gateway_connections(const struct gateway *gateway)
{
    return gateway->conns;
}

static void
on_own_handle_closed(uv_handle_t *handle)
{
    gateway_handle_closed(handle->data);
}

/* Connections that are being answered are in no queue here: libuv knows them all. */
static void
close_if_ours(uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing(handle) && conn_owns_handle(handle, arg))
        conn_close(handle->data);
}

void
gateway_free(struct gateway *gateway)
{
    if (gateway == NULL)
        return;
    gateway_stop(gateway);
    gateway->freed = true;
    uv_walk(gateway->loop, close_if_ours, gateway);
    uv_close((uv_handle_t *)&gateway->deadline_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&gateway->pause_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&gateway->turn, on_own_handle_closed);
}
