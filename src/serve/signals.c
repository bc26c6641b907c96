/* signals.c - what signals ask of a running responder: to drain (SIGTERM, SIGINT, SIGQUIT,
 * SIGUSR1), to reload (SIGHUP).
 *
 * libuv turns signals into calls on the loop, so nothing here runs in a signal handler. With
 * several workers the parent (serve/workers.c) takes them and passes them on. */
#include "config.h"

#include "serve/internal.h"

#include <signal.h>

#include "feed/feed.h"
#include "hub/hub.h"
#include "serve/sd_notify.h"
#include "publish/endpoint.h"
#include "serve/status_stream.h"
#include "access/keys.h"

#define DRAIN_LOOK_MS 10

/* All ask for the same. SIGQUIT and SIGUSR1 are how managers of FastCGI programs ask politely:
 * nginx's and PHP's for the first, Apache's mod_fastcgi and mod_fcgid for the second. */
static const struct {
    int number;
    const char *name;
} ends[] = {
    {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGQUIT, "SIGQUIT"}, {SIGUSR1, "SIGUSR1"}};

#define ENDS (sizeof ends / sizeof *ends)

_Static_assert(SERVE_SIGNALS == ENDS + 1, "these, and SIGHUP");

static const char *
end_name(int number)
{
    size_t i = 0;
    while (i + 1 < ENDS && ends[i].number != number)
        i++;
    return ends[i].name;
}

/* --- the end ----------------------------------------------------------------------------- */

static void
on_drain_look(uv_timer_t *timer)
{
    struct serve *serve = timer->data;
    uint64_t waited = uv_now(&serve->loop) - serve->drain_began_ms;
    bool is_over = waited >= (uint64_t)serve->settings->drain_ms;
    if (hub_streams(serve->hub) > 0)
        return; /* each learns it, which takes a few turns */
    if (is_over || (gateway_connections(serve->gateway) == 0 &&
                    publish_endpoint_pending(serve->endpoint) == 0))
        uv_stop(&serve->loop);
}

void
serve_drain(struct serve *serve, const char *why)
{
    if (serve->gateway == NULL || serve->drain_began_ms != 0) {
        uv_stop(&serve->loop); /* CGI, or a second signal */
        return;
    }
    log_line(&serve->log, LOG_INFO, "%s: draining %zu streams", why,
             hub_streams(serve->hub));
    if (serve->worker->count == 1)
        notify_stopping(hub_streams(serve->hub));
    serve->drain_began_ms = uv_now(&serve->loop);
    gateway_stop(serve->gateway);
    hub_drain(serve->hub);
    status_stream_end(serve->status);
    uv_timer_start(&serve->drain, on_drain_look, 0, DRAIN_LOOK_MS);
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct serve *serve = handle->data;
    /* Ctrl-C and systemd signal all processes, and then our parent signals us too: that is no
     * impatience. The parent ends what takes too long. */
    if (serve->drain_began_ms != 0 && serve->worker->count > 1)
        return;
    serve_drain(serve, end_name(signum));
}

/* --- reload ------------------------------------------------------------------------------ */

int
serve_load_keys(struct serve *serve, struct error *error)
{
    const char *path = serve->settings->ticket_key_file;
    if (path == NULL)
        return 0;
    struct ticket_keys *keys = ticket_keys_load(path, TICKET_VERIFIES, &serve->log, error);
    if (keys == NULL)
        return -1;
    ticket_keys_free(serve->keys);
    serve->keys = keys;
    return 0;
}

/* What SIGHUP asks for: everything that was opened or read at the start and may have been put in
 * another place since. Streams stay open and lose nothing. Keys that cannot be read again stay as
 * they were; a database that cannot be opened is tried again until it can. */
static void
serve_reload(struct serve *serve)
{
    struct error error = {""};
    int reopened = log_reopen(&serve->log, &error);
    log_line(&serve->log, LOG_INFO, "SIGHUP: reopening");
    if (reopened != 0)
        log_line(&serve->log, LOG_WARN, "the log stays as it is: %s", error.text);
    feed_reload(serve->feed);
    if (serve_load_keys(serve, &error) != 0)
        log_line(&serve->log, LOG_WARN, "the tickets' keys stay as they are: %s",
                 error.text);
}

static void
on_reload_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    serve_reload(handle->data);
}

/* --- the start --------------------------------------------------------------------------- */

void
signals_start(struct serve *serve, enum serve_kind kind)
{
    if (kind == SERVE_FASTCGI)
        uv_signal_start(&serve->signals[ENDS], on_reload_signal, SIGHUP);
    for (size_t i = 0; i < ENDS; i++)
        uv_signal_start(&serve->signals[i], on_signal, ends[i].number);
    signal(SIGPIPE, SIG_IGN);
}
