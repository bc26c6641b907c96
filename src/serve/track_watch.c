/* track_watch.c - compares the tables that are tracked with their triggers when the schema has
 * changed.
 *
 * Made by serve/serve.c, of several workers in the first. Rows still come and streams are well,
 * so it is a warning in the log and no matter of the health check: the application's migration
 * has taken triggers away, and the administrator is to run `rowcast track` again. */
#include "config.h"

#include "serve/track_watch.h"

#include <stdlib.h>

#include "store/connection.h"
#include "track/track.h"

/* A migration is many statements: the look comes some time after the first of them. */
#define LOOK_MS 10000

struct track_watch {
    uv_timer_t timer;
    struct feed *feed;
    const struct log *log;
    int64_t seen; /* the schema's cookie at the last look; -1: none yet */
};

static void
on_finding(void *arg, const struct track_finding *finding)
{
    const struct track_watch *watch = arg;

    if (!finding->fits)
        log_line(watch->log, LOG_WARN, "the tracked table %s: %s", finding->name,
                 finding->text);
}

static void
on_look(uv_timer_t *timer)
{
    struct track_watch *watch = timer->data;
    struct store *store = feed_store(watch->feed);
    struct error ignored; /* what is wrong with the database is the feed's to tell */

    if (store == NULL || store_schema_cookie(store) == watch->seen)
        return;
    int64_t cookie = store_schema_cookie(store);
    if (track_compare(store, on_finding, watch, &ignored) == STORE_OK)
        watch->seen = cookie;
}

struct track_watch *
track_watch_new(uv_loop_t *loop, struct feed *feed, const struct log *log,
                struct error *error)
{
    struct track_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    *watch = (struct track_watch){.feed = feed, .log = log, .seen = -1};
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    uv_timer_start(&watch->timer, on_look, 0, LOOK_MS);
    uv_unref((uv_handle_t *)&watch->timer);
    return watch;
}

static void
on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void
track_watch_free(struct track_watch *watch)
{
    if (watch != NULL)
        uv_close((uv_handle_t *)&watch->timer, on_closed);
}
