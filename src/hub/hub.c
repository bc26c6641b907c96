/* hub.c - the hub's life, and what it does in each turn of the loop; see hub/hub.h.
 *
 * Within a turn nothing that a caller may still look at is freed: a stream that ends is marked
 * CLOSED at once and freed before the loop waits again. */
#include "config.h"

#include "hub/hub.h"

#include <stdlib.h>

#include "base/clock.h"
#include "hub/channel_list.h"
#include "hub/client.h"
#include "hub/closing.h"
#include "hub/fanout.h"
#include "hub/heartbeat.h"
#include "hub/replay.h"
#include "hub/stream.h"
#include "hub/table_part.h"
#include "hub/tables.h"
#include "hub/turns.h"
#include "hub/window_warm.h"

#define BUSY_RETRY_MS 20
#define PAGE_CHECK_MS 1000

/* --- turns ------------------------------------------------------------------------------- */

static void
on_retry(uv_timer_t *timer)
{
    (void)timer; /* the timer only wakes the loop: on_turn_end does the rest */
}

static void
on_idle(uv_idle_t *idle)
{
    struct hub *hub = idle->data;
    if (!replay_run(hub))
        uv_timer_start(&hub->retry, on_retry, BUSY_RETRY_MS, 0);
}

/* Before the loop waits: frees closed streams, ends some if the program drains, and starts the
 * next turn at once while there is work for it. */
static void
on_turn_end(uv_prepare_t *prepare)
{
    struct hub *hub = prepare->data;
    bool is_closed = closing_run(hub);
    bool may_replay = !uv_is_active((uv_handle_t *)&hub->retry);
    if (!is_closed || (may_replay && !turns_is_empty(&hub->turns)))
        uv_idle_start(&hub->idle, on_idle);
    else
        uv_idle_stop(&hub->idle);
    heartbeat_arm(hub);
}

/* --- life -------------------------------------------------------------------------------- */

static void
on_other_workers(uv_timer_t *timer)
{
    client_end_replaced(timer->data);
    channel_list_share(timer->data);
}

static void
hub_set_up_handles(struct hub *hub)
{
    uv_timer_init(hub->loop, &hub->heartbeat);
    uv_timer_init(hub->loop, &hub->retry);
    uv_idle_init(hub->loop, &hub->idle);
    uv_prepare_init(hub->loop, &hub->turn_end);
    hub->heartbeat.data = hub;
    hub->retry.data = hub;
    hub->idle.data = hub;
    hub->turn_end.data = hub;
    uv_timer_init(hub->loop, &hub->page_check);
    hub->page_check.data = hub;
    hub->handles = 5;
    uv_prepare_start(&hub->turn_end, on_turn_end);
    if (hub->config.pages != NULL)
        uv_timer_start(&hub->page_check, on_other_workers, PAGE_CHECK_MS, PAGE_CHECK_MS);
}

static void
hub_fini(struct hub *hub)
{
    window_free(hub->window);
    audiences_free(hub->audiences);
    string_map_fini(&hub->clients);
    records_fini(&hub->packed);
    records_fini(&hub->rest);
    records_fini(&hub->page.records);
    table_parts_fini(hub);
    tables_free(hub->tables);
    buf_fini(&hub->scratch);
    free(hub->touched);
    free(hub);
}

struct hub *
hub_new(uv_loop_t *loop, struct feed *feed, const struct hub_config *config,
        const struct log *log, struct error *error)
{
    struct hash_key key;
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL || hash_key_make(&key, error) != 0 ||
        turns_init(&hub->turns, error) != 0) {
        if (hub == NULL)
            error_set(error, "out of memory");
        free(hub);
        return NULL;
    }
    hub->loop = loop;
    hub->feed = feed;
    hub->config = *config;
    hub->log = log;
    hub->counters = &hub->config.counters[hub->config.worker];
    queue_init(&hub->writable);
    queue_init(&hub->blocked);
    queue_init(&hub->closed);
    hub->window = window_new(config->window_bytes, config->max_event_bytes, &key);
    hub->audiences = audiences_new(&key);
    hub->tables = tables_new();
    string_map_init(&hub->clients, config->pages != NULL ? &config->pages->key : &key);
    if (hub->window == NULL || hub->audiences == NULL || hub->tables == NULL) {
        error_set(error, "out of memory");
        hub_fini(hub);
        return NULL;
    }
    hub_counters_forget_streams(hub->counters); /* a worker may have died here */
    if (hub->counters->started_ms == 0)
        hub->counters->started_ms = (uint64_t)clock_unix_ms();
    fanout_publish_tail(hub, hub_tail(hub));
    hub_set_up_handles(hub);
    if (config->starts_cold)
        window_reset(hub->window, hub_tail(hub));
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
    hub->draining = true; /* hub/closing.c frees the rest, from the end of this turn on */
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
    const struct hub_config *config = &hub->config;
    hub->counters->window_bytes = window_bytes(hub->window);
    hub_counters_sum(config->counters, config->workers, config->worker, totals);
}

static void
on_hub_closed(uv_handle_t *handle)
{
    struct hub *hub = handle->data;
    if (--hub->handles == 0)
        hub_fini(hub);
}

void
hub_free(struct hub *hub)
{
    if (hub == NULL)
        return;
    struct queue *const queues[] = {&hub->writable, &hub->blocked};
    struct queue_link *link;
    for (int i = 0; i < 2; i++)
        while ((link = queue_head(queues[i])) != NULL)
            stream_drop(queue_item(link, struct stream, by_write), CLOSE_DRAINED);
    while ((link = queue_head(&hub->closed)) != NULL)
        stream_free(queue_item(link, struct stream, turn));
    uv_close((uv_handle_t *)&hub->heartbeat, on_hub_closed);
    uv_close((uv_handle_t *)&hub->retry, on_hub_closed);
    uv_close((uv_handle_t *)&hub->idle, on_hub_closed);
    uv_close((uv_handle_t *)&hub->turn_end, on_hub_closed);
    uv_close((uv_handle_t *)&hub->page_check, on_hub_closed);
}
