/* presence.c - the loop's side of presence: streams that come and go become batches of changes.
 *
 * serve/serve.c makes it, and the hub calls it for each reader that opens and closes a stream. The
 * loop gathers changes for one interval and hands them over as a batch, once the thread has taken
 * the batch before. It never waits for the database: people/presence_writer.c writes the batch.
 * When that file has lost the lease, the loop gathers a change for every reader again. */
#include "config.h"

#include "people/presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "people/here.h"
#include "people/presence_state.h"
#include "people/presence_table.h"

#define INTERVAL_MS UINT64_C(200) /* between two transactions, times the workers */
#define INTERVAL_MAX_MS UINT64_C(2000)
#define BATCH_MAX 4000

/* --- changes --------------------------------------------------------------------------- */

static struct here_change *
take_changes(struct presence *presence)
{
    struct here_change *first = NULL;
    struct here_change **end = &first;
    bool failed = false;
    for (int i = 0; i < BATCH_MAX && !failed; i++) {
        *end = here_take(presence->here, &failed);
        if (*end == NULL)
            break;
        end = &(*end)->next;
    }
    return first;
}

static void
hand_over(struct presence *presence)
{
    struct here_change *batch = take_changes(presence);
    uv_mutex_lock(&presence->mutex);
    presence->batch = batch;
    presence->is_anyone_here = here_count(presence->here) > 0;
    uv_mutex_unlock(&presence->mutex);
    writer_wake(presence->config.writer);
}

static void
on_timer(uv_timer_t *timer)
{
    struct presence *presence = timer->data;
    if (!here_has_changes(presence->here)) {
        uv_timer_stop(timer);
        return;
    }
    if (!presence_has_batch(presence))
        hand_over(presence);
}

/* The first change goes at once, those that follow it in one batch. */
static void
note_change(struct presence *presence)
{
    if (presence->config.users != NULL)
        *presence->config.users = here_users(presence->here);
    if (!uv_is_active((uv_handle_t *)&presence->timer))
        uv_timer_start(&presence->timer, on_timer, 0, presence->interval_ms);
}

static struct here_stream
stream_of(const struct hub_reader *reader)
{
    return (struct here_stream){reader->user, reader->address, reader->channels};
}

static void *
on_opened(void *arg, const struct hub_reader *reader)
{
    struct presence *presence = arg;
    const struct here_stream stream = stream_of(reader);
    void *mark = here_open(presence->here, &stream, clock_unix_ms());
    note_change(presence);
    return mark;
}

static void
on_closed(void *arg, void *mark, const struct hub_reader *reader)
{
    struct presence *presence = arg;
    const struct here_stream stream = stream_of(reader);
    here_close(presence->here, mark, &stream);
    note_change(presence);
}

static void
on_wants_all(uv_async_t *async)
{
    struct presence *presence = async->data;
    here_tell_all(presence->here);
    note_change(presence);
}

/* --- life ---------------------------------------------------------------------------- */

int
presence_check(struct store *store, struct error *error)
{
    return presence_table_check(store, error) == STORE_OK ? 0 : -1;
}

/* A name that no other process has, nor had. */
static void
choose_name(struct presence *presence)
{
    unsigned char bytes[16] = {0};
    uv_random(NULL, NULL, bytes, sizeof bytes, 0, NULL);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(presence->name + 2 * i, 3, "%02x", bytes[i]);
    if (presence->config.name == NULL)
        return;
    memcpy(presence->dead, presence->config.name, PRESENCE_NAME_MAX);
    memcpy(presence->config.name, presence->name, PRESENCE_NAME_MAX);
}

static void
set_up_loop(struct presence *presence, uv_loop_t *loop)
{
    const struct hub_watcher watcher = {on_opened, on_closed, presence};
    presence->loop = loop;
    uv_timer_init(loop, &presence->timer);
    presence->timer.data = presence;
    presence->wants_all.data = presence;
    presence->handles = 2;
    hub_watch_readers(presence->config.hub, &watcher);
}

struct presence *
presence_new(uv_loop_t *loop, const struct presence_config *config, struct error *error)
{
    struct presence *presence = calloc(1, sizeof *presence);
    if (presence == NULL || uv_mutex_init(&presence->mutex) != 0) {
        error_set(error, "out of memory");
        free(presence);
        return NULL;
    }
    presence->config = *config;
    /* With rows to tell each transaction waits for the disk, while it has the lock. */
    presence->interval_ms =
        INTERVAL_MS * config->workers * (config->channel != NULL ? 2 : 1);
    if (presence->interval_ms > INTERVAL_MAX_MS)
        presence->interval_ms = INTERVAL_MAX_MS;
    presence->here = here_new(error);
    if (presence->here == NULL ||
        uv_async_init(loop, &presence->wants_all, on_wants_all) != 0) {
        here_free(presence->here);
        uv_mutex_destroy(&presence->mutex);
        free(presence);
        return NULL;
    }
    set_up_loop(presence, loop);
    choose_name(presence);
    presence_add_work(presence);
    return presence;
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct presence *presence = handle->data;
    if (--presence->handles > 0)
        return;
    presence_free_changes(presence->work, NULL);
    presence_free_changes(presence->batch, NULL);
    here_free(presence->here);
    uv_mutex_destroy(&presence->mutex);
    free(presence);
}

void
presence_free(struct presence *presence)
{
    if (presence == NULL)
        return;
    uv_close((uv_handle_t *)&presence->timer, on_handle_closed);
    uv_close((uv_handle_t *)&presence->wants_all, on_handle_closed);
}
