/* fanout.c - new rows to all streams at the tail: packed once for each audience, one write for
 * each stream and batch.
 *
 * The feed calls fanout_row for each row of a batch, which only notes what audiences it is for,
 * then fanout_batch, which sends. A stream whose socket is full drops out of the live list
 * (stream_write) and catches up later; nothing is queued for it. */
#include "config.h"

#include <stdlib.h>

#include "hub/state.h"

/* --- collecting a batch -------------------------------------------------------------------- */

static int
touch(struct hub *hub, struct audience *audience)
{
    if (hub->touched_count == hub->touched_cap) {
        size_t cap = hub->touched_cap == 0 ? 64 : hub->touched_cap * 2;
        struct audience **touched = realloc(hub->touched, cap * sizeof(struct audience *));
        if (touched == NULL)
            return -1;
        hub->touched = touched;
        hub->touched_cap = cap;
    }
    hub->touched[hub->touched_count++] = audience;
    return 0;
}

/* The newest row of the window is for this audience. */
static void
note_match(void *arg, struct audience *audience)
{
    struct hub *hub = arg;
    if (audience->live_count == 0 || hub->batch_broken)
        return;
    if (audience->batch_count == audience->batch_cap) {
        uint32_t cap = audience->batch_cap == 0 ? 4 : audience->batch_cap * 2;
        uint32_t *batch = realloc(audience->batch, cap * sizeof *batch);
        if (batch == NULL) {
            hub->batch_broken = true;
            return;
        }
        audience->batch = batch;
        audience->batch_cap = cap;
    }
    if (audience->batch_count == 0 && touch(hub, audience) != 0) {
        hub->batch_broken = true;
        return;
    }
    audience->batch[audience->batch_count++] = hub->batch_rows - 1;
}

void
fanout_row(void *arg, const struct row *row)
{
    struct hub *hub = arg;
    hub->counters->rows++;
    hub->batch_rows++;
    if (window_add(hub->window, row) != 0)
        hub->batch_broken = true;
    window_trim(hub->window, hub->tail); /* a long batch must not grow it by its size */
    if (!hub->batch_broken)
        audiences_match(hub->audiences, row, note_match, hub);
}

/* --- packing ------------------------------------------------------------------------------- */

/* A private page for each user may hold the very same public rows: then what was packed for the
 * audience before serves again. */
static bool
same_batch(const struct audience *a, const struct audience *b)
{
    return b != NULL && a->format == b->format && a->batch_count == b->batch_count &&
           memcmp(a->batch, b->batch, a->batch_count * sizeof *a->batch) == 0;
}

static int
pack_batch(struct hub *hub, const struct audience *audience, size_t first, int64_t tail,
           int64_t now_ms)
{
    records_start(&hub->packed, hub->tail);
    for (uint32_t i = 0; i < audience->batch_count; i++) {
        struct entry *entry = window_at(hub->window, first + audience->batch[i]);
        if (entry->superseded || row_is_expired(&entry->row, now_ms))
            continue;
        struct slice event = window_encoded(hub->window, entry, audience->format);
        if (event.p == NULL)
            return -1;
        records_add_event(&hub->packed, entry->row.id, event, 0);
    }
    records_skip_to(&hub->packed, tail);
    return records_finish(&hub->packed);
}

/* --- sending ------------------------------------------------------------------------------- */

/* True when the stream's throttle does not allow a write now; it then rests until it does. */
static bool
throttle_if_due(struct hub *hub, struct stream *stream)
{
    struct stream_extra *extra = stream->extra;
    if (extra == NULL || extra->throttle_ms == 0)
        return false;
    uint64_t now = uv_now(hub->loop);
    if (now - extra->paced_ms >= extra->throttle_ms) {
        extra->paced_ms = now;
        return false;
    }
    stream->cursor = hub->tail;
    replay_throttle(stream);
    return true;
}

static void
send_batch(struct hub *hub, struct audience *audience)
{
    /* Backwards, as a stream that leaves the list gives its place to the last one. */
    for (uint32_t i = audience->live_count; i-- > 0;) {
        struct stream *stream = audience->live[i];
        if (!throttle_if_due(hub, stream))
            stream_write(stream, &hub->packed);
    }
}

static void
send_polls(struct hub *hub, struct audience *audience, size_t first, int64_t tail,
           int64_t now_ms)
{
    struct buf events = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < audience->batch_count; i++) {
        struct entry *entry = window_at(hub->window, first + audience->batch[i]);
        if (entry->superseded || row_is_expired(&entry->row, now_ms))
            continue;
        struct slice event = window_encoded(hub->window, entry, FORMAT_JSON);
        if (event.p == NULL)
            events.failed = true;
        if (count++ > 0)
            buf_append_text(&events, ",");
        buf_append(&events, event.p, event.len);
    }
    for (uint32_t i = audience->live_count; i-- > 0 && count > 0;) {
        struct stream *stream = audience->live[i];
        if (events.failed) {
            stream_drop(stream, CLOSE_NO_MEMORY);
            continue;
        }
        stream->cursor = tail;
        stream->events += count;
        hub->counters->events += count;
        fanout_poll(hub, stream, buf_slice(&events));
    }
    buf_fini(&events);
}

void
fanout_poll(struct hub *hub, struct stream *stream, struct slice events)
{
    struct stream_extra *extra = stream->extra;
    struct buf *text = &extra->opening; /* the headers */
    int64_t cursor = stream_position(stream);
    /* last=N, ended before its start was found: to go on from the tail would lose those rows. */
    if (extra->seek_left > 0)
        buf_append_text(text, "{\"last_event_id\":null,\"gap\":");
    else
        buf_printf(text, "{\"last_event_id\":\"%lld\",\"gap\":", (long long)cursor);
    if (extra->has_gap)
        sse_append_gap(
            text, FORMAT_JSON,
            &(struct gap){extra->gap_reason, extra->gap_after, extra->gap_resumed_at});
    else
        buf_append_text(text, "null");
    buf_append_text(text, ",\"events\":[");
    buf_append(text, events.p, events.len);
    buf_append_text(text, "]}\n");
    if (text->failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    struct output *output = stream->output;
    stream->bytes += text->len;
    hub->counters->bytes += text->len;
    stream_lose(stream, CLOSE_ANSWERED);
    output_answer(output, buf_slice(text));
}

/* Live streams become streams that are behind: catch-up tells them, each in its turn, what gap
 * there is, and reads for them from the table. */
static void
fall_behind(void *arg, struct audience *audience)
{
    struct hub *hub = arg;
    for (uint32_t i = audience->live_count; i-- > 0;) {
        struct stream *stream = audience->live[i];
        stream->cursor = hub->tail;
        stream_set_state(stream, STREAM_READY);
    }
}

/* The batch is out: how late was each row? */
static void
note_lag(struct hub *hub, size_t first)
{
    int64_t now_ms = wall_clock_ms();
    for (size_t i = first; i < window_count(hub->window); i++)
        latency_histogram_observe(&hub->counters->lag,
                                  window_at(hub->window, i)->row.created_at, now_ms);
}

void
fanout_batch(void *arg, const struct store_marks *marks, int64_t tail, int64_t lost)
{
    struct hub *hub = arg;
    size_t first = window_find(hub->window, hub->tail);
    int64_t now_ms = wall_clock_ms();
    const struct audience *packed = NULL;

    if (lost > 0 || hub->batch_broken)
        audiences_each(hub->audiences, fall_behind, hub);

    for (size_t i = 0; i < hub->touched_count; i++) {
        struct audience *audience = hub->touched[i];
        if (audience->live_count == 0)
            continue;
        if (audience->format == FORMAT_JSON) {
            send_polls(hub, audience, first, tail, now_ms);
            continue;
        }
        if (!same_batch(audience, packed)) {
            packed = NULL;
            if (pack_batch(hub, audience, first, tail, now_ms) != 0) {
                fall_behind(hub, audience);
                continue;
            }
            packed = audience;
        }
        if (hub->packed.events > 0)
            send_batch(hub, audience);
    }
    for (size_t i = 0; i < hub->touched_count; i++)
        hub->touched[i]->batch_count = 0;
    hub->touched_count = 0;
    if (!hub->batch_broken)
        note_lag(hub, first);
    hub->batch_broken = false;
    hub->batch_rows = 0;

    hub_set_tail(hub, tail);
    if (marks->low_water > window_floor(hub->window) && marks->low_water > marks->base)
        window_drop_up_to(hub->window, marks->low_water);
    window_trim(hub->window, tail);
    hub->counters->window_bytes = window_bytes(hub->window);
    hub->page.audience = NULL;
}

/* Another database: what is in memory means nothing any more. Each stream is told in its turn of
 * catch-up, by its epoch. */
void
fanout_reset(void *arg, const struct store_marks *marks)
{
    struct hub *hub = arg;
    hub->epoch++;
    audiences_each(hub->audiences, fall_behind, hub);
    hub_set_tail(hub, marks->tail);
    window_reset(hub->window, marks->tail);
    hub->page.audience = NULL;
}
