/* hub.c - opens, keeps and frees streams, and runs the turns of catch-up; see hub.h.
 *
 * Within a turn of the loop nothing that a caller may still look at is freed: a stream that
 * ends is marked CLOSED at once and reaped before the loop waits again. */
#include "config.h"

#include "hub.h"

#include <stdlib.h>

#include "hub_internal.h"

static const unsigned prefill_rows[] = {64, 512, 4096, 32768};

/* --- the window's first content ------------------------------------------------------------ */

struct prefill {
    struct hub *hub;
    size_t bytes;
    size_t rows;
    size_t want;
    int64_t first;
};

static enum store_step
prefill_count(void *arg, const struct row *row)
{
    struct prefill *prefill = arg;
    prefill->first = row->id;
    return ++prefill->rows < prefill->want ? STORE_MORE : STORE_STOP;
}

static enum store_step
prefill_take(void *arg, const struct row *row)
{
    struct prefill *prefill = arg;
    prefill->bytes += row->data.len + sizeof(struct entry);
    if (prefill->bytes > prefill->hub->config.window_bytes ||
        window_add(prefill->hub->window, row) != 0)
        return STORE_STOP;
    prefill->rows++;
    return STORE_MORE;
}

/* Fills the window with the newest `want` rows; they may be all that the table has. False when
 * they do not fit, or cannot be read. */
static bool
hub_prefill_rows(struct hub *hub, size_t want, bool *is_all)
{
    struct store *store = feed_store(hub->feed);
    struct store_range range = {.after = INT64_MIN, .up_to = hub->tail, .max_rows = want};
    struct store_progress progress;
    struct prefill prefill = {.hub = hub, .want = want, .first = hub->tail + 1};
    if (store_read_back(store, &range, prefill_count, &prefill, &progress, NULL) !=
        STORE_OK)
        return false;

    size_t found = prefill.rows;
    *is_all = found < want;
    range.after = prefill.first - 1;
    prefill.rows = 0;
    window_reset(hub->window, *is_all ? INT64_MIN : range.after);
    return store_read_range(store, &range, prefill_take, &prefill, &progress, NULL) ==
               STORE_OK &&
           prefill.rows >= found;
}

/* After a restart everybody comes back at once, each a little behind: the rows that they miss
 * should be in memory then, not be read once for each of them. */
static void
hub_prefill(struct hub *hub)
{
    size_t steps = sizeof prefill_rows / sizeof *prefill_rows;
    size_t step = 0;
    bool is_all = false;
    bool fits = true;
    while (step < steps && !is_all && fits) {
        fits = hub_prefill_rows(hub, prefill_rows[step], &is_all);
        step += fits;
    }
    if (fits)
        return;
    if (step == 0 || !hub_prefill_rows(hub, prefill_rows[step - 1], &is_all))
        window_reset(hub->window, hub->tail);
}

/* --- turns ------------------------------------------------------------------------------- */

static void
on_idle(uv_idle_t *idle)
{
    struct hub *hub = idle->data;
    catchup_run(hub);
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

/* --- opening ----------------------------------------------------------------------------- */

/* Room in the live list for every stream of the audience, so that going live cannot fail. */
static int
audience_reserve(struct audience *audience)
{
    if (audience->live_cap >= audience->refs)
        return 0;
    size_t cap = audience->live_cap == 0 ? 1 : (size_t)audience->live_cap * 2;
    while (cap < audience->refs)
        cap *= 2;
    struct stream **live = realloc(audience->live, cap * sizeof(struct stream *));
    if (live == NULL)
        return -1;
    audience->live = live;
    audience->live_cap = (uint32_t)cap;
    return 0;
}

static struct stream *
stream_new(struct hub *hub, struct wire *wire, struct request *request)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->hub = hub;
    stream->wire = wire;
    stream->audience = audiences_join(hub->audiences, &request->filter, request->format);
    if (stream->audience == NULL || audience_reserve(stream->audience) != 0) {
        if (stream->audience != NULL)
            audiences_leave(hub->audiences, stream->audience);
        free(stream);
        return NULL;
    }
    stream->ping = request->ping;
    stream->once = request->format == FORMAT_JSON;
    stream->address = request->address;
    request->address = NULL;
    stream->epoch = hub->epoch;
    stream->serial = ++hub->serial;
    stream->opened_ms = stream->wrote_ms = uv_now(hub->loop);
    stream->state = STREAM_READY;
    queue_link_init(&stream->by_write);
    queue_link_init(&stream->turn);
    queue_push(&hub->quiet, &stream->by_write);
    wire->reader = stream;
    hub->count++;
    hub->counters.opened++;
    return stream;
}

static void
on_limit(uv_timer_t *timer)
{
    struct stream_extra *extra = timer->data;
    struct stream *stream = extra->stream;
    if (stream == NULL || stream->state == STREAM_CLOSED)
        return;
    if (stream->once)
        fanout_document(stream->hub, stream, (struct slice){"", 0});
    else
        stream_end(stream, CLOSE_AGED, "max age reached");
}

/* --max-age, spread by a tenth so that streams opened together do not come back together. */
static uint64_t
hub_age_limit(const struct hub *hub)
{
    uint64_t random = 0;
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL);
    uint64_t fifth = hub->config.max_age_ms / 5;
    return hub->config.max_age_ms - fifth / 2 + random % (fifth + 1);
}

/* Timers and everything else that not every stream has. */
static int
stream_set_up_extra(struct stream *stream, const struct request *request,
                    struct slice headers)
{
    struct hub *hub = stream->hub;
    if (request->throttle_ms == 0 && hub->config.max_age_ms == 0 && !stream->once &&
        request->start != START_LAST)
        return 0;
    struct stream_extra *extra = stream_need_extra(stream);
    if (extra == NULL)
        return -1;
    extra->throttle_ms = stream->once ? 0 : request->throttle_ms;
    if (stream->once && request->wait_s > 0)
        uv_timer_start(&extra->limit, on_limit, (uint64_t)request->wait_s * 1000, 0);
    else if (!stream->once && hub->config.max_age_ms > 0)
        uv_timer_start(&extra->limit, on_limit, hub_age_limit(hub), 0);
    if (stream->once || request->start == START_LAST)
        buf_append(&extra->opening, headers.p, headers.len);
    if (request->start == START_LAST) {
        extra->seek_left = (uint32_t)request->start_value;
        extra->seek_at = extra->seek_found = hub->tail;
    }
    return extra->opening.failed ? -1 : 0;
}

static void
stream_log_open(const struct stream *stream)
{
    char user[128];
    char address[64];
    char channels[256];
    const struct patterns *requested = &stream->audience->filter.requested;
    log_line(stream->hub->log, LOG_INFO,
             "open stream=%llu user=%s address=%s channels=%s more=%zu from=%lld",
             (unsigned long long)stream->serial,
             log_quote(user, sizeof user, stream->audience->filter.user),
             log_quote(address, sizeof address, stream->address),
             log_quote(channels, sizeof channels,
                       requested->count > 0 ? requested->items[0] : "*"),
             requested->count > 1 ? requested->count - 1 : 0,
             (long long)stream->started_at);
}

/* Headers, the opening block and what gap there is, in one write. */
static void
stream_send_opening(struct stream *stream, const struct hub_start *start,
                    struct slice headers)
{
    struct hub *hub = stream->hub;
    enum format format = stream->audience->format;
    struct records *records = &hub->small;
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    sse_append_open(&hub->scratch, format, hub->config.retry_ms, start->cursor);
    if (start->has_gap)
        sse_append_gap(&hub->scratch, format, &start->gap);
    records_start(records, start->cursor);
    records_add_text(records, buf_slice(&hub->scratch));
    if (hub->scratch.failed || records_finish(records) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->told = start->cursor;
    if (stream->extra != NULL)
        stream->extra->paced_ms = uv_now(hub->loop);
    if (stream_write(stream, records))
        stream_set_state(stream, STREAM_READY);
}

void
stream_begin(struct stream *stream, const struct hub_start *start, struct slice headers)
{
    struct hub *hub = stream->hub;
    stream->cursor = stream->started_at = start->cursor;
    stream->low_water = feed_marks(hub->feed)->low_water;
    if (start->has_gap)
        hub->counters.gaps++;
    stream_log_open(stream);
    if (!stream->once) {
        stream_send_opening(stream, start, headers);
        return;
    }
    if (start->has_gap)
        catchup_keep_gap(stream, start);
    stream->told = start->cursor;
    stream_set_state(stream, STREAM_READY);
}

/* Not an error status: an EventSource gives up for good on any status but 200. */
static void
hub_refuse(struct hub *hub, struct wire *wire, enum format format, struct slice headers,
           const char *reason)
{
    unsigned jitter = 0;
    uv_random(NULL, NULL, &jitter, sizeof jitter, 0, NULL);
    hub->counters.refused++;
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    if (format == FORMAT_JSON)
        buf_printf(&hub->scratch, "{\"last_event_id\":null,\"gap\":null,\"events\":[]}\n");
    else
        sse_append_goodbye(&hub->scratch, format,
                           hub->config.retry_ms + jitter % (2 * hub->config.retry_ms + 1),
                           reason);
    wire_answer(wire, buf_slice(&hub->scratch));
}

void
hub_open(struct hub *hub, struct wire *wire, struct request *request, struct slice headers)
{
    const char *refusal = NULL;
    if (hub->draining)
        refusal = "restarting";
    else if (wire->over_limit || hub->count >= hub->config.max_streams)
        refusal = "too many streams";
    if (refusal != NULL) {
        hub_refuse(hub, wire, request->format, headers, refusal);
        return;
    }

    /* What was committed before this request is old, what comes later is new. */
    feed_look(hub->feed);
    struct hub_start start = {0};
    enum format format = request->format;
    if (start_resolve(hub, request, &start) != 0) {
        hub_refuse(hub, wire, format, headers, "the database cannot be read just now");
        return;
    }
    struct stream *stream = stream_new(hub, wire, request);
    if (stream == NULL) {
        hub_refuse(hub, wire, format, headers, "out of memory");
        return;
    }
    if (stream_set_up_extra(stream, request, headers) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    if (stream->extra != NULL && stream->extra->seek_left > 0)
        hub_ready(hub, stream); /* catchup.c finds the start and calls stream_begin */
    else
        stream_begin(stream, &start, headers);
    pulse_arm(hub);
}

/* --- from the gateway ---------------------------------------------------------------------- */

void
hub_wire_writable(struct wire *wire)
{
    struct stream *stream = wire->reader;
    struct hub *hub = stream->hub;
    size_t before = wire_rest_bytes(wire);
    enum wire_result result = wire_flush(wire);
    if (result == WIRE_GONE) {
        stream_drop(stream, CLOSE_READER_GONE);
        return;
    }
    if (wire_rest_bytes(wire) < before || result == WIRE_SENT) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->stuck, &stream->by_write);
    }
    if (result == WIRE_SENT)
        stream_set_state(stream, STREAM_READY);
}

void
hub_wire_gone(struct wire *wire, enum close_why why)
{
    struct stream *stream = wire->reader;
    if (why == CLOSE_ABORTED)
        stream_end(stream, why, NULL);
    else
        stream_lose(stream, why);
}

/* --- life -------------------------------------------------------------------------------- */

static void
hub_set_up_handles(struct hub *hub)
{
    uv_timer_init(hub->loop, &hub->pulse);
    uv_timer_init(hub->loop, &hub->retry);
    uv_idle_init(hub->loop, &hub->idle);
    uv_prepare_init(hub->loop, &hub->reaper);
    hub->pulse.data = hub;
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
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    hub->loop = loop;
    hub->feed = feed;
    hub->config = *config;
    hub->log = log;
    hub->tail = feed_tail(feed);
    queue_init(&hub->quiet);
    queue_init(&hub->stuck);
    queue_init(&hub->ready);
    queue_init(&hub->closed);
    hub->window = window_new(config->window_bytes, config->max_event_bytes);
    hub->audiences = audiences_new();
    if (hub->window == NULL || hub->audiences == NULL) {
        error_set(error, "out of memory");
        window_free(hub->window);
        audiences_free(hub->audiences);
        free(hub);
        return NULL;
    }
    hub_set_up_handles(hub);
    hub_prefill(hub);
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
    while ((link = queue_head(&hub->quiet)) != NULL)
        stream_end(queue_item(link, struct stream, by_write), CLOSE_DRAINED, "restarting");
    while ((link = queue_head(&hub->stuck)) != NULL)
        stream_end(queue_item(link, struct stream, by_write), CLOSE_DRAINED, "restarting");
}

size_t
hub_streams(const struct hub *hub)
{
    return hub->count;
}

size_t
hub_behind(const struct hub *hub)
{
    size_t count = 0;
    for (struct queue_link *link = queue_head(&hub->ready);
         link != NULL && link != &hub->ready.ends; link = link->next)
        count++;
    return count;
}

const struct hub_counters *
hub_counters(const struct hub *hub)
{
    return &hub->counters;
}

size_t
hub_window_bytes(const struct hub *hub)
{
    return window_bytes(hub->window);
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
    while ((link = queue_head(&hub->quiet)) != NULL)
        stream_drop(queue_item(link, struct stream, by_write), CLOSE_DRAINED);
    while ((link = queue_head(&hub->stuck)) != NULL)
        stream_drop(queue_item(link, struct stream, by_write), CLOSE_DRAINED);
    hub_reap(hub);
    uv_close((uv_handle_t *)&hub->pulse, on_hub_closed);
    uv_close((uv_handle_t *)&hub->retry, on_hub_closed);
    uv_close((uv_handle_t *)&hub->idle, on_hub_closed);
    uv_close((uv_handle_t *)&hub->reaper, on_hub_closed);
}
