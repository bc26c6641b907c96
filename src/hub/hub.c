/* hub.c - opens, keeps and frees streams, and runs the turns of catch-up; see hub/hub.h.
 *
 * Within a turn of the loop nothing that a caller may still look at is freed: a stream that
 * ends is marked CLOSED at once and reaped before the loop waits again. */
#include "config.h"

#include "hub/hub.h"

#include <stdlib.h>

#include "hub/state.h"

/* --- turns ------------------------------------------------------------------------------- */

static void
on_idle(uv_idle_t *idle)
{
    struct hub *hub = idle->data;
    replay_run(hub);
    if (queue_head(&hub->ready) == NULL)
        uv_idle_stop(idle);
}

void
hub_ready(struct hub *hub, struct stream *stream)
{
    queue_push(&hub->ready, &stream->turn);
    if (!uv_is_active((uv_handle_t *)&hub->idle) &&
        !uv_is_active((uv_handle_t *)&hub->retry))
        uv_idle_start(&hub->idle, on_idle);
}

static void
on_extra_closed(uv_handle_t *handle)
{
    struct stream_extra *extra = handle->data;
    if (--extra->handles > 0)
        return;
    buf_fini(&extra->opening);
    free(extra);
}

static void
stream_free(struct stream *stream)
{
    queue_remove(&stream->turn);
    if (stream->extra != NULL) {
        stream->extra->stream = NULL;
        uv_close((uv_handle_t *)&stream->extra->pace, on_extra_closed);
        uv_close((uv_handle_t *)&stream->extra->limit, on_extra_closed);
    }
    if (stream->hub->page.audience == stream->audience)
        stream->hub->page.audience =
            NULL; /* its memory may come back as another audience */
    audiences_leave(stream->hub->audiences, stream->audience);
    free(stream->address);
    free(stream);
}

static void
hub_reap(struct hub *hub)
{
    struct queue_link *link;
    while ((link = queue_head(&hub->closed)) != NULL)
        stream_free(queue_item(link, struct stream, turn));
}

static void
on_prepare(uv_prepare_t *prepare)
{
    hub_reap(prepare->data);
}

/* --- from the gateway ---------------------------------------------------------------------- */

void
hub_output_writable(struct output *output)
{
    struct stream *stream = output->reader;
    struct hub *hub = stream->hub;
    size_t before = output_pending_bytes(output);
    enum output_result result = output_flush(output);
    if (result == OUTPUT_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return;
    }
    if (stream->state != STREAM_BLOCKED) { /* it was a reply of the protocol's own */
        if (result == OUTPUT_SENT)
            output->ops->want_write(output, false);
        return;
    }
    if (output_pending_bytes(output) < before || result == OUTPUT_SENT) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->blocked, &stream->by_write);
    }
    if (result == OUTPUT_SENT)
        stream_set_state(stream, STREAM_READY);
}

void
hub_output_gone(struct output *output, enum close_reason why)
{
    struct stream *stream = output->reader;
    if (why == CLOSE_ABORTED)
        stream_end(stream, why, NULL);
    else
        stream_lose(stream, why);
}

/* --- life -------------------------------------------------------------------------------- */

static void
hub_set_up_handles(struct hub *hub)
{
    uv_timer_init(hub->loop, &hub->heartbeat);
    uv_timer_init(hub->loop, &hub->retry);
    uv_idle_init(hub->loop, &hub->idle);
    uv_prepare_init(hub->loop, &hub->reaper);
    hub->heartbeat.data = hub;
    hub->retry.data = hub;
    hub->idle.data = hub;
    hub->reaper.data = hub;
    hub->handles = 4;
    uv_prepare_start(&hub->reaper, on_prepare);
}

struct hub *
hub_new(uv_loop_t *loop, struct feed *feed, const struct hub_config *config,
        const struct log *log, struct error *error)
{
    struct hash_key key;
    if (hash_key_make(&key, error) != 0)
        return NULL;
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    hub->loop = loop;
    hub->feed = feed;
    hub->config = *config;
    hub->log = log;
    hub->counters = &hub->config.counters[hub->config.worker];
    hub_forget_streams(hub->counters); /* a worker may have died here */
    if (hub->counters->started_ms == 0)
        hub->counters->started_ms = (uint64_t)wall_clock_ms();
    hub_set_tail(hub, feed_tail(feed));
    queue_init(&hub->writable);
    queue_init(&hub->blocked);
    queue_init(&hub->ready);
    queue_init(&hub->closed);
    hub->window = window_new(config->window_bytes, config->max_event_bytes, &key);
    hub->audiences = audiences_new(&key);
    if (hub->window == NULL || hub->audiences == NULL) {
        error_set(error, "out of memory");
        window_free(hub->window);
        audiences_free(hub->audiences);
        free(hub);
        return NULL;
    }
    hub_set_up_handles(hub);
    if (config->starts_cold)
        window_reset(hub->window, hub->tail);
    else
        window_warm(hub);
    return hub;
}

const struct feed_handlers *
hub_feed_handlers(void)
{
    static const struct feed_handlers handlers = {fanout_row, fanout_batch, fanout_reset};
    return &handlers;
}

void
hub_drain(struct hub *hub)
{
    struct queue_link *link;
    hub->draining = true;
    while ((link = queue_head(&hub->writable)) != NULL)
        stream_end(queue_item(link, struct stream, by_write), CLOSE_DRAINED, "restarting");
    while ((link = queue_head(&hub->blocked)) != NULL)
        stream_end(queue_item(link, struct stream, by_write), CLOSE_DRAINED, "restarting");
}

void
hub_forget_streams(struct hub_counters *counters)
{
    counters->streams = counters->behind = 0;
    __atomic_store_n(&counters->tail, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < FORMATS; i++)
        counters->formats[i] = 0;
}

uint64_t
hub_lowest_tail(const struct hub_counters *counters, size_t workers)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < workers; i++) {
        uint64_t tail = __atomic_load_n(&counters[i].tail, __ATOMIC_RELAXED);
        if (tail != 0 && (lowest == 0 || tail < lowest))
            lowest = tail;
    }
    return lowest;
}

const struct hub_config *
hub_settings(const struct hub *hub)
{
    return &hub->config;
}

size_t
hub_streams(const struct hub *hub)
{
    return hub->counters->streams;
}

void
hub_totals(const struct hub *hub, struct hub_counters *totals)
{
    /* All of it is 64-bit counters, so it can be added up as such. */
    enum { WORDS = sizeof *totals / sizeof(uint64_t) };
    uint64_t *sum = (uint64_t *)(void *)totals;
    hub->counters->window_bytes = window_bytes(hub->window);
    *totals = (struct hub_counters){0};
    for (size_t i = 0; i < hub->config.workers; i++) {
        const uint64_t *one = (const uint64_t *)(const void *)&hub->config.counters[i];
        for (size_t word = 0; word < WORDS; word++)
            sum[word] += one[word];
    }
    totals->rows = hub->counters->rows; /* each worker sees all of them */
    totals->tail = hub->counters->tail;
    totals->started_ms = hub->config.counters[0].started_ms;
}

static void
on_hub_closed(uv_handle_t *handle)
{
    struct hub *hub = handle->data;
    if (--hub->handles > 0)
        return;
    window_free(hub->window);
    audiences_free(hub->audiences);
    records_fini(&hub->packed);
    records_fini(&hub->small);
    records_fini(&hub->page.records);
    buf_fini(&hub->scratch);
    free(hub->touched);
    free(hub);
}

void
hub_free(struct hub *hub)
{
    struct queue_link *link;
    if (hub == NULL)
        return;
    while ((link = queue_head(&hub->writable)) != NULL)
        stream_drop(queue_item(link, struct stream, by_write), CLOSE_DRAINED);
    while ((link = queue_head(&hub->blocked)) != NULL)
        stream_drop(queue_item(link, struct stream, by_write), CLOSE_DRAINED);
    hub_reap(hub);
    uv_close((uv_handle_t *)&hub->heartbeat, on_hub_closed);
    uv_close((uv_handle_t *)&hub->retry, on_hub_closed);
    uv_close((uv_handle_t *)&hub->idle, on_hub_closed);
    uv_close((uv_handle_t *)&hub->reaper, on_hub_closed);
}
