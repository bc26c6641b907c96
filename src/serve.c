/* serve.c - one request's way from the gateway to an answer or the hub, and the program's life.
 *
 * cmd_serve.c has read the options and has the sockets; everything made here is ended here, in
 * the opposite order. */
#include "config.h"

#include "serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "access.h"
#include "answer.h"
#include "cgi.h"
#include "feed.h"
#include "gateway.h"
#include "hub.h"
#include "log.h"
#include "notify.h"
#include "report.h"

/* Descriptors that are not streams: the database, its WAL and -shm, sockets, timers, short
 * requests. */
#define SERVE_SPARE_DESCRIPTORS 64
#define DRAIN_LOOK_MS 10

extern char **environ;

struct serve {
    const struct serve_settings *settings;
    const struct serve_worker *worker;
    uv_loop_t loop;
    struct log log;
    struct feed *feed;
    struct hub *hub;
    struct gateway *gateway;
    struct cgi *cgi;
    uv_signal_t signals[2];
    uv_timer_t drain;
    uv_timer_t beat;
    uv_prepare_t done; /* CGI: looks whether the answer is out */
    uint64_t drain_began_ms;
    struct buf answer;
    struct buf environment; /* pointers: see serve_environment */
};

/* --- requests ---------------------------------------------------------------------------- */

static void
answer_report(struct serve *serve, const struct request *request)
{
    const struct option_list *origins = &serve->settings->cors_origins;
    struct buf body = {0};
    const char *text;
    int status;
    switch (request->resource) {
    case RESOURCE_METRICS:
        report_append_metrics(&body, serve->hub, serve->feed);
        answer_append_body(&serve->answer, 200, "text/plain; version=0.0.4; charset=utf-8",
                           buf_slice(&body), request, origins);
        break;
    case RESOURCE_STATUS:
        if (request->wants_html) {
            report_append_page(&body, serve->hub, serve->feed);
            answer_append_body(&serve->answer, 200, "text/html; charset=utf-8",
                               buf_slice(&body), request, origins);
            break;
        }
        report_append_status(&body, serve->hub, serve->feed);
        answer_append_body(&serve->answer, 200, "application/json", buf_slice(&body),
                           request, origins);
        break;
    case RESOURCE_HEALTH:
    case RESOURCE_STREAM:
        status = report_health(serve->feed, &text);
        answer_append_text(&serve->answer, status, text, request, origins);
        break;
    }
    buf_fini(&body);
}

static bool
env_has(const char *const *envp, const char *name, size_t len)
{
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return true;
    return false;
}

/* The request's params, and what the web server has set for the whole process instead (lighttpd's
 * bin-environment, Environment= of systemd), which a request's own param overrides. Valid until
 * the next call; NULL when out of memory. */
static const char *const *
serve_environment(struct serve *serve, const char *const *params)
{
    static const char *const names[] = {"ROWCAST_CHANNELS", "ROWCAST_ADMIN"};
    const char *const none = NULL;
    struct buf *list = &serve->environment;
    buf_clear(list);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        for (char *const *own = environ; *own != NULL; own++)
            if (strncmp(*own, names[i], len) == 0 && (*own)[len] == '=' &&
                !env_has(params, names[i], len))
                buf_append(list, own, sizeof *own);
    }
    if (list->len == 0)
        return params;
    for (; *params != NULL; params++)
        buf_append(list, params, sizeof *params);
    buf_append(list, &none, sizeof none);
    return list->failed ? NULL : (const char *const *)(void *)list->p;
}

static void
serve_request(struct serve *serve, struct wire *wire, const char *const *envp)
{
    const struct option_list *origins = &serve->settings->cors_origins;
    struct request request;
    struct error error = {""};

    buf_clear(&serve->answer);
    int status = request_parse(&request, envp, &error);
    bool preflight = status == 0 && request.method == METHOD_OPTIONS;
    if (status == 0 && !preflight)
        status = access_check(&request, &error);

    if (status != 0) {
        answer_append_text(&serve->answer, status, error.text, &request, origins);
    } else if (preflight) {
        answer_append_options(&serve->answer, &request, origins);
    } else if (request.resource != RESOURCE_STREAM) {
        answer_report(serve, &request);
    } else {
        answer_append_stream_headers(&serve->answer, &request, origins);
        if (request.method == METHOD_GET && !serve->answer.failed) {
            hub_open(serve->hub, wire, &request, buf_slice(&serve->answer));
            request_fini(&request);
            return;
        }
    }
    if (serve->answer.failed)
        wire->ops->drop(wire);
    else
        wire_answer(wire, buf_slice(&serve->answer));
    request_fini(&request);
}

static void
on_request(void *arg, struct wire *wire, const char *const *envp)
{
    const char *const *environment = serve_environment(arg, envp);
    if (environment == NULL)
        wire->ops->drop(wire);
    else
        serve_request(arg, wire, environment);
}

static void
on_writable(void *arg, struct wire *wire)
{
    (void)arg;
    hub_wire_writable(wire);
}

static void
on_gone(void *arg, struct wire *wire, enum gone_why why)
{
    (void)arg;
    hub_wire_gone(wire, why == GONE_ABORTED ? CLOSE_ABORTED : CLOSE_READER_GONE);
}

static const struct gateway_handlers request_handlers = {on_request, on_writable, on_gone};

/* --- the end ----------------------------------------------------------------------------- */

static void
on_drain_look(uv_timer_t *timer)
{
    struct serve *serve = timer->data;
    uint64_t waited = uv_now(&serve->loop) - serve->drain_began_ms;
    if (gateway_connections(serve->gateway) == 0 ||
        waited >= (uint64_t)serve->settings->drain_ms)
        uv_stop(&serve->loop);
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct serve *serve = handle->data;
    bool draining = serve->drain_began_ms != 0;
    /* Ctrl-C and systemd tell all processes, and then our parent tells us too: that is no
     * impatience. The parent ends what takes too long. */
    if (draining && serve->worker->count > 1)
        return;
    if (serve->gateway == NULL || draining) {
        uv_stop(&serve->loop); /* CGI, or told twice */
        return;
    }
    log_line(&serve->log, LOG_INFO, "%s: draining %zu streams",
             signum == SIGTERM ? "SIGTERM" : "SIGINT", hub_streams(serve->hub));
    if (serve->worker->count == 1)
        notify_stopping(hub_streams(serve->hub));
    serve->drain_began_ms = uv_now(&serve->loop);
    gateway_stop(serve->gateway);
    hub_drain(serve->hub);
    uv_timer_start(&serve->drain, on_drain_look, 0, DRAIN_LOOK_MS);
}

/* A loop that hangs does not come here: the service manager, or the parent, starts anew. */
static void
on_beat(uv_timer_t *timer)
{
    const struct serve *serve = timer->data;
    if (serve->worker->count > 1)
        ++*serve->worker->beat;
    else
        notify_alive();
}

static void
on_cgi_turn(uv_prepare_t *prepare)
{
    struct serve *serve = prepare->data;
    if (cgi_is_done(serve->cgi))
        uv_stop(&serve->loop);
}

static void
close_leftover(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void
serve_fini(struct serve *serve)
{
    gateway_free(serve->gateway);
    hub_free(serve->hub);
    feed_free(serve->feed);
    cgi_free(serve->cgi);
    uv_close((uv_handle_t *)&serve->drain, NULL);
    uv_close((uv_handle_t *)&serve->beat, NULL);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&serve->signals[i], NULL);
    uv_close((uv_handle_t *)&serve->done, NULL);
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    uv_walk(&serve->loop, close_leftover, NULL);
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    uv_loop_close(&serve->loop);
    buf_fini(&serve->answer);
    buf_fini(&serve->environment);
}

/* --- the start --------------------------------------------------------------------------- */

static int
serve_init_loop(struct serve *serve, struct error *error)
{
    if (uv_loop_init(&serve->loop) != 0)
        return error_set(error, "cannot start the event loop");
    uv_timer_init(&serve->loop, &serve->drain);
    uv_timer_init(&serve->loop, &serve->beat);
    uv_prepare_init(&serve->loop, &serve->done);
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&serve->loop, &serve->signals[i]);
        serve->signals[i].data = serve;
    }
    serve->drain.data = serve;
    serve->beat.data = serve;
    serve->done.data = serve;
    return 0;
}

static int
serve_init_hub(struct serve *serve, unsigned descriptors, struct error *error)
{
    const struct serve_settings *settings = serve->settings;
    struct store_config store = {.path = settings->db,
                                 .table = settings->table,
                                 .mode = STORE_READ,
                                 .max_event_bytes = (size_t)settings->max_event_bytes};
    struct hub_config hub = {.heartbeat_ms = (uint64_t)settings->heartbeat_ms,
                             .stall_ms = (uint64_t)settings->stall_ms,
                             .max_age_ms = (uint64_t)settings->max_age_ms,
                             .retry_ms = (unsigned)settings->retry_ms,
                             .max_streams = (uint64_t)settings->max_streams,
                             .max_here = descriptors > 2 * SERVE_SPARE_DESCRIPTORS
                                             ? descriptors - SERVE_SPARE_DESCRIPTORS
                                             : descriptors / 2,
                             .max_per_user = (unsigned)settings->max_per_user,
                             .max_per_address = (unsigned)settings->max_per_address,
                             .window_bytes = (size_t)settings->window_bytes,
                             .max_event_bytes = (size_t)settings->max_event_bytes,
                             .counters = serve->worker->counters,
                             .workers = serve->worker->count,
                             .worker = serve->worker->number};
    serve->feed = feed_new(&serve->loop, &store, &serve->log, error);
    if (serve->feed == NULL)
        return -1;
    if (hub.max_streams == 0)
        hub.max_streams = UINT64_MAX;
    serve->hub = hub_new(&serve->loop, serve->feed, &hub, &serve->log, error);
    if (serve->hub == NULL)
        return -1;
    return feed_start(serve->feed, hub_feed_handlers(), serve->hub, error);
}

static void
serve_log_start(const struct serve *serve, const struct listeners *listeners)
{
    char name[160];
    for (int i = 0; i < listeners->count; i++)
        log_line(&serve->log, LOG_INFO, "rowcast %s listens on %s, table %s of %s",
                 PACKAGE_VERSION, listeners_name(listeners, i, name, sizeof name),
                 serve->settings->table, serve->settings->db);
}

static int
serve_init_gateway(struct serve *serve, const struct listeners *listeners,
                   unsigned descriptors, struct error *error)
{
    struct gateway_config config = {.request_timeout_ms =
                                        (uint64_t)serve->settings->request_timeout_ms,
                                    .max_conns = descriptors,
                                    .is_shared = serve->worker->count > 1,
                                    .log = &serve->log};
    serve->gateway = gateway_new(&serve->loop, &config, &request_handlers, serve, error);
    if (serve->gateway == NULL || gateway_listen(serve->gateway, listeners, error) != 0)
        return -1;
    serve_log_start(serve, listeners);
    uint64_t beat_ms = serve->worker->beat_ms;
    if (beat_ms > 0)
        uv_timer_start(&serve->beat, on_beat, 0, beat_ms);
    if (serve->worker->count == 1)
        notify_ready(serve->settings->table, serve->settings->db);
    return 0;
}

static int
serve_init_cgi(struct serve *serve, struct error *error)
{
    serve->cgi = cgi_new(&serve->loop, &request_handlers, serve, error);
    if (serve->cgi == NULL)
        return -1;
    uv_prepare_start(&serve->done, on_cgi_turn);
    serve_request(serve, cgi_wire(serve->cgi), (const char *const *)environ);
    return 0;
}

/* After the gateway, since libfcgi's start replaces handlers (FCGX_Init). */
static void
serve_init_signals(struct serve *serve)
{
    uv_signal_start(&serve->signals[0], on_signal, SIGTERM);
    uv_signal_start(&serve->signals[1], on_signal, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
}

int
serve_run(const struct serve_settings *settings, enum serve_kind kind,
          const struct listeners *listeners, const struct serve_worker *worker,
          struct error *error)
{
    struct serve serve = {.settings = settings, .worker = worker};
    unsigned descriptors = listen_raise_descriptors();
    log_init(&serve.log, (enum log_level)settings->log_level);
    if (settings->max_streams > (int64_t)(descriptors * worker->count))
        log_line(
            &serve.log, LOG_WARN,
            "--max-streams %lld: only %u descriptors are allowed; raise LimitNOFILE or "
            "ulimit -n",
            (long long)settings->max_streams, descriptors);
    if (serve_init_loop(&serve, error) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    int result = serve_init_hub(&serve, descriptors, error);
    if (result == 0)
        result = kind == SERVE_CGI
                     ? serve_init_cgi(&serve, error)
                     : serve_init_gateway(&serve, listeners, descriptors, error);
    if (result == 0) {
        serve_init_signals(&serve);
        uv_run(&serve.loop, UV_RUN_DEFAULT);
    }
    serve_fini(&serve);
    return result;
}
