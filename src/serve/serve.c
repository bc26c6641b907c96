/* serve.c - the program's life: everything joined together, started, ended. Signals are in
 * serve/signals.c, what it writes in serve/writing.c, its rights in serve/confine.c.
 *
 * cmd/serve.c has read the options and has the sockets; everything made here is ended here, in
 * the opposite order. */
#include "config.h"

#include "serve/internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "fastcgi/cgi.h"
#include "feed/feed.h"
#include "people/presence.h"
#include "people/read_marks.h"
#include "people/revocation_log.h"
#include "hub/hub.h"
#include "serve/sd_notify.h"
#include "publish/endpoint.h"
#include "push/endpoint.h"
#include "serve/retention.h"
#include "serve/status_stream.h"
#include "serve/track_watch.h"
#include "access/keys.h"
#include "publish/writer.h"

/* Descriptors that are not streams: the database, its WAL and -shm, sockets, timers, short
 * requests. */
#define SERVE_SPARE_DESCRIPTORS 64

/* --- the end ----------------------------------------------------------------------------- */

/* A loop that hangs does not come here: the service manager, or the parent, starts it again. */
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
    if (cgi_is_done(serve->cgi) && publish_endpoint_pending(serve->endpoint) == 0 &&
        push_endpoint_pending(serve->push) == 0 &&
        read_marks_pending(serve->read_marks) == 0)
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
    writer_free(serve->writer); /* the thread's end; what it works for comes after it */
    publish_endpoint_free(serve->endpoint);
    push_endpoint_free(serve->push);
    read_marks_free(serve->read_marks);
    retention_free(serve->retention);
    status_stream_free(serve->status);
    track_watch_free(serve->track_watch);
    revocation_log_free(serve->revocations);
    gateway_free(serve->gateway);
    hub_free(serve->hub);
    presence_free(serve->presence);
    feed_free(serve->feed);
    cgi_free(serve->cgi);
    uv_close((uv_handle_t *)&serve->drain, NULL);
    uv_close((uv_handle_t *)&serve->beat, NULL);
    for (size_t i = 0; i < SERVE_SIGNALS; i++)
        uv_close((uv_handle_t *)&serve->signals[i], NULL);
    uv_close((uv_handle_t *)&serve->done, NULL);
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    uv_walk(&serve->loop, close_leftover, NULL);
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    uv_loop_close(&serve->loop);
    buf_fini(&serve->answer);
    buf_fini(&serve->environment);
    ticket_keys_free(serve->keys);
    refusal_log_fini(&serve->refusal_log);
    log_close(&serve->log);
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
    for (size_t i = 0; i < SERVE_SIGNALS; i++) {
        uv_signal_init(&serve->loop, &serve->signals[i]);
        serve->signals[i].data = serve;
    }
    serve->drain.data = serve;
    serve->beat.data = serve;
    serve->done.data = serve;
    return 0;
}

static int
serve_init_hub(struct serve *serve, enum serve_kind kind, unsigned descriptors,
               struct error *error)
{
    const struct serve_settings *settings = serve->settings;
    struct store_config store = {.path = settings->db,
                                 .table = settings->table,
                                 .mode = STORE_READ,
                                 .is_replica = settings->read_only,
                                 .max_event_bytes = (size_t)settings->max_event_bytes};
    struct hub_config hub = {.heartbeat_ms = (uint64_t)settings->heartbeat_ms,
                             .stall_ms = (uint64_t)settings->stall_ms,
                             .max_age_ms = (uint64_t)settings->max_age_ms,
                             .retry_ms = (unsigned)settings->retry_ms,
                             .max_streams = (uint64_t)settings->max_streams,
                             .max_here = descriptors > 2 * SERVE_SPARE_DESCRIPTORS
                                             ? descriptors - SERVE_SPARE_DESCRIPTORS
                                             : descriptors / 2,
                             .limits = serve->worker->limits,
                             .refusal_log = &serve->refusal_log,
                             .window_bytes = (size_t)settings->window_bytes,
                             .starts_cold = kind == SERVE_CGI,
                             .max_event_bytes = (size_t)settings->max_event_bytes,
                             .counters = serve->worker->counters,
                             .workers = serve->worker->count,
                             .worker = serve->worker->number,
                             .pages = serve->worker->pages,
                             .channels = serve->worker->channels};
    serve->feed = feed_new(&serve->loop, &store, &serve->log, error);
    if (serve->feed == NULL)
        return -1;
    if (hub.max_streams == 0)
        hub.max_streams = UINT64_MAX;
    serve->hub = hub_new(&serve->loop, serve->feed, &hub, &serve->log, error);
    if (serve->hub == NULL)
        return -1;
    feed_count_errors(serve->feed, &hub.counters[hub.worker].database_errors);
    serve->status = status_stream_new(&serve->loop, serve->hub, serve->feed);
    if (serve->status == NULL)
        return error_set(error, "out of memory");
    return feed_start(serve->feed, hub_feed_handlers(), serve->hub, error);
}

static int
serve_init_revocation(struct serve *serve, struct error *error)
{
    if (serve->settings->revocation == SERVE_OFF)
        return 0;
    serve->revocations = revocation_log_new(&serve->loop, serve->feed, serve->hub, error);
    return serve->revocations != NULL ? 0 : -1;
}

/* Only an application may delete from a table of its own. */
static int
serve_check_retention(const struct serve *serve, struct error *error)
{
    struct retention_config config = serve_retention(serve->settings, serve->worker);
    return retention_check(&config, feed_marks(serve->feed), error);
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
                                    .stall_ms = (uint64_t)serve->settings->stall_ms,
                                    .waiting = waiting_answers,
                                    .max_conns = descriptors,
                                    .is_shared = serve->worker->count > 1,
                                    .takes_body = serve->settings->allow_publish ||
                                                  serve->settings->vapid_key_file != NULL ||
                                                  serve_has_read_marks(serve),
                                    .log = &serve->log};
    serve->gateway = gateway_new(&serve->loop, &config, dispatch_request, serve, error);
    return serve->gateway == NULL ? -1 : gateway_listen(serve->gateway, listeners, error);
}

/* Connections that have been waiting may come now. */
static void
serve_announce(struct serve *serve, const struct listeners *listeners)
{
    uint64_t beat_ms = serve->worker->beat_ms;
    serve_log_start(serve, listeners);
    if (beat_ms > 0)
        uv_timer_start(&serve->beat, on_beat, 0, beat_ms);
    if (serve->worker->count == 1)
        notify_ready(serve->settings->table, serve->settings->db);
}

static int
serve_init_cgi(struct serve *serve, struct error *error)
{
    const char *method = getenv("REQUEST_METHOD");
    struct request_body body = {.came = 0};
    const char *path = getenv("PATH_INFO");
    bool has_body =
        method != NULL && (strcmp(method, "POST") == 0 || strcmp(method, "DELETE") == 0);
    /* GET of the subscriptions' key opens the writer too: a person's click asks for it. */
    bool is_push = path != NULL && strstr(path, "/push") != NULL;
    if ((has_body || is_push || serve_has_presence(serve)) &&
        serve_init_writer(serve, SERVE_CGI, error) != 0)
        return -1;
    if (has_body)
        cgi_read_body(&body, (uint64_t)serve->settings->request_timeout_ms);
    serve->cgi = cgi_new(&serve->loop, (uint64_t)serve->settings->stall_ms, error);
    if (serve->cgi != NULL) {
        uv_prepare_start(&serve->done, on_cgi_turn);
        dispatch_request(serve, cgi_output(serve->cgi), (const char *const *)environ,
                         &body);
    }
    buf_fini(&body.bytes);
    return serve->cgi != NULL ? 0 : -1;
}

/* Before the process is confined: it has no use for the private key later. */
static int
serve_load_vapid(struct serve *serve, struct error *error)
{
    const char *path = serve->settings->vapid_key_file;
    if (path == NULL)
        return 0;
    struct vapid_keys *keys = vapid_keys_load(path, &serve->log, error);
    if (keys == NULL)
        return -1;
    memcpy(serve->vapid_public, keys->items[0].public_text, VAPID_PUBLIC_TEXT);
    vapid_keys_free(keys);
    return 0;
}

static int
serve_init_track_watch(struct serve *serve, struct error *error)
{
    if (serve->worker->number != 0)
        return 0;
    serve->track_watch = track_watch_new(&serve->loop, serve->feed, &serve->log, error);
    return serve->track_watch != NULL ? 0 : -1;
}

static int
serve_start_fastcgi(struct serve *serve, const struct listeners *listeners,
                    unsigned descriptors, struct error *error)
{
    if (serve_init_gateway(serve, listeners, descriptors, error) != 0)
        return -1;
    signals_start(serve, SERVE_FASTCGI);
    serve_confine(serve, listeners);
    serve_check_sight(serve);
    if (serve_check_retention(serve, error) != 0 ||
        serve_init_writer(serve, SERVE_FASTCGI, error) != 0 ||
        serve_init_track_watch(serve, error) != 0)
        return -1;
    serve_announce(serve, listeners);
    return 0;
}

static int
serve_start_cgi(struct serve *serve, struct error *error)
{
    signals_start(serve, SERVE_CGI);
    serve_confine(serve, NULL);
    return serve_init_cgi(serve, error);
}

struct log_config
serve_log_config(const struct serve_settings *settings, struct hub_counters *counters)
{
    struct log_config config = {.level = (enum log_level)settings->log_level,
                                .file = settings->log_to,
                                .loss = &counters->log};
    log_parse_to(settings->log_to, &config.to);
    return config;
}

int
serve_run(const struct serve_settings *settings, enum serve_kind kind,
          const struct listeners *listeners, const struct serve_worker *worker,
          struct error *error)
{
    struct serve serve = {.settings = settings, .worker = worker};
    unsigned descriptors = listen_raise_descriptors();
    struct log_config log = serve_log_config(settings, &worker->counters[worker->number]);
    if (log_open(&serve.log, &log, error) != 0 ||
        refusal_log_init(&serve.refusal_log, &serve.log, error) != 0) {
        log_close(&serve.log);
        return -1;
    }
    if (settings->max_streams > (int64_t)(descriptors * worker->count))
        log_line(
            &serve.log, LOG_WARN,
            "--max-streams %lld: only %u descriptors are allowed; raise LimitNOFILE or "
            "ulimit -n",
            (long long)settings->max_streams, descriptors);
    if (serve_init_loop(&serve, error) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    if (kind == SERVE_FASTCGI)
        signal(SIGHUP, SIG_IGN); /* until there is a handler for it */
    int result = serve_load_keys(&serve, error);
    if (result == 0)
        result = serve_load_vapid(&serve, error);
    if (result == 0)
        result = serve_init_hub(&serve, kind, descriptors, error);
    if (result == 0)
        result = serve_init_revocation(&serve, error);
    if (result == 0)
        result = kind == SERVE_CGI
                     ? serve_start_cgi(&serve, error)
                     : serve_start_fastcgi(&serve, listeners, descriptors, error);
    if (result == 0)
        uv_run(&serve.loop, UV_RUN_DEFAULT);
    if (result == 0 && serve.lost.text[0] != '\0')
        result = error_set(error, "%s", serve.lost.text);
    serve_fini(&serve);
    return result;
}
