/* fanout.c - new rows to all streams at the tail: packed once for each audience, one write for
 * each stream and batch.
 *
 * The feed calls fanout_row for each row of a batch, which only notes which audiences it is for,
 * then fanout_batch, which sends. A stream whose socket is full leaves the live list
 * (stream_write) and replays later; nothing is queued for it. */
#include "config.h"

#include "hub/fanout.h"

#include <stdlib.h>

#include "base/clock.h"
#include "hub/stream.h"
#include "hub/throttle.h"
#include "hub/turns.h"

#define GLOBS_NS 3000000 /* in one batch, for trying patterns: 3 ms */
#define GLOBS_STEP 64    /* audiences between two looks at the clock */

/* --- collecting a batch -------------------------------------------------------------- */

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

/* With a thousand readers that have patterns of their own a row takes a millisecond. */
static bool
globs_time_is_over(struct hub *hub)
{
    if (hub->globs_tried++ == 0)
        hub->globs_until_ns = uv_hrtime() + GLOBS_NS;
    else if (hub->globs_tried % GLOBS_STEP == 0 && uv_hrtime() >= hub->globs_until_ns)
        hub->globs_are_late = true;
    return hub->globs_are_late;
}

/* When the time for patterns is over, only audiences without patterns get the batch at once. */
static bool
is_wanted(void *arg, const struct audience *audience)
{
    struct hub *hub = arg;
    if (audience->live_count == 0 || hub->batch_broken)
        return false;
    return !filter_has_globs(&audience->filter) ||
           !(hub->globs_are_late || globs_time_is_over(hub));
}

void
fanout_row(void *arg, const struct row *row)
{
    struct hub *hub = arg;
    hub->counters->rows++;
    hub->batch_rows++;
    if (window_add(hub->window, row) != 0)
        hub->batch_broken = true;
    window_trim(hub->window,
                hub_tail(hub)); /* else a long batch would make the window longer */
    const struct audience_visitor visitor = {note_match, is_wanted, hub};
    if (!hub->batch_broken)
        audiences_match_wanted(hub->audiences, row, &visitor);
}

/* --- sending ------------------------------------------------------------------------- */

struct batch {
    size_t first; /* the window's index of its first row */
    int64_t tail; /* after it */
    int64_t now_ms;
    const struct audience
        *packed; /* the audience for which hub->packed was made; NULL: none */
};

/* Pages of many users may hold the same public rows. Then what was packed for the audience before
 * is right for this one. */
static bool
same_rows(const struct audience *a, const struct audience *b)
{
    return b != NULL && a->format == b->format && a->batch_count == b->batch_count &&
           memcmp(a->batch, b->batch, a->batch_count * sizeof *a->batch) == 0;
}

static int
pack_batch(struct hub *hub, const struct batch *batch, const struct audience *audience)
{
    records_start(&hub->packed, hub_tail(hub));
    for (uint32_t i = 0; i < audience->batch_count; i++) {
        struct entry *entry = window_at(hub->window, batch->first + audience->batch[i]);
        if (entry->superseded || row_is_expired(&entry->row, batch->now_ms))
            continue;
        struct slice event = window_encoded(hub->window, entry, audience->format);
        if (event.p == NULL)
            return -1;
        records_add_event(&hub->packed, entry->row.id, event, 0);
    }
    records_skip_to(&hub->packed, batch->tail);
    return records_finish(&hub->packed);
}

/* Makes the live streams of the audience streams that are behind: replay finds the gap, if there
 * is one, and reads for each stream. */
static void
fall_behind(void *arg, struct audience *audience)
{
    (void)arg;
    for (uint32_t i = audience->live_count; i-- > 0;)
        stream_set_state(audience->live[i], STREAM_READY);
}

/* These streams read the batch by replay, in turns, and share the turns with others of their
 * address. So a stream that has just come, or that gets other rows, does not wait behind all of
 * them. */
static void
fall_behind_with_globs(void *arg, struct audience *audience)
{
    (void)arg;
    if (!filter_has_globs(&audience->filter))
        return;
    for (uint32_t i = audience->live_count; i-- > 0;) {
        audience->live[i]->steps = TURNS_FRESH_STEPS;
        stream_set_state(audience->live[i], STREAM_READY);
    }
}

static void
send_batch(struct hub *hub, struct batch *batch, struct audience *audience)
{
    /* A poll that waits for rows reads the batch by replay, because its document is a page. */
    if (audience->format == FORMAT_JSON) {
        fall_behind(NULL, audience);
        return;
    }
    if (!same_rows(audience, batch->packed)) {
        batch->packed = NULL;
        if (pack_batch(hub, batch, audience) != 0) {
            fall_behind(NULL, audience);
            return;
        }
        batch->packed = audience;
    }
    if (hub->packed.events == 0)
        return;
    /* Backwards: when a stream leaves the list, the last one moves to its place. */
    for (uint32_t i = audience->live_count; i-- > 0;) {
        struct stream *stream = audience->live[i];
        if (throttle_holds(stream))
            continue;
        throttle_note_write(stream);
        stream_write(stream, &hub->packed, NULL);
    }
}

/* The batch is out: how late was each row? */
static void
note_lag(struct hub *hub, size_t first)
{
    int64_t now_ms = clock_unix_ms();
    for (size_t i = first; i < window_count(hub->window); i++)
        latency_histogram_observe(&hub->counters->lag,
                                  window_at(hub->window, i)->row.created_at, now_ms);
}

void
fanout_publish_tail(const struct hub *hub, int64_t tail)
{
    __atomic_store_n(&hub->counters->tail, (uint64_t)(tail > 0 ? tail : 0),
                     __ATOMIC_RELAXED);
}

void
fanout_batch(void *arg, const struct store_marks *marks, int64_t tail, int64_t lost)
{
    struct hub *hub = arg;
    struct batch batch = {.first = window_find(hub->window, hub_tail(hub)),
                          .tail = tail,
                          .now_ms = clock_unix_ms()};

    if (lost > 0 || hub->batch_broken)
        audiences_each(hub->audiences, fall_behind, NULL);
    if (hub->globs_are_late)
        audiences_each(hub->audiences, fall_behind_with_globs, NULL);
    for (size_t i = 0; i < hub->touched_count; i++)
        if (hub->touched[i]->live_count > 0)
            send_batch(hub, &batch, hub->touched[i]);
    for (size_t i = 0; i < hub->touched_count; i++)
        hub->touched[i]->batch_count = 0;
    hub->touched_count = 0;
    if (!hub->batch_broken)
        note_lag(hub, batch.first);
    hub->batch_broken = false;
    hub->batch_rows = 0;
    hub->globs_tried = 0;
    hub->globs_are_late = false;

    fanout_publish_tail(hub, tail);
    if (marks->low_water > window_floor(hub->window) && marks->low_water > marks->base)
        window_drop_up_to(hub->window, marks->low_water);
    window_trim(hub->window, tail);
    hub->counters->window_bytes = window_bytes(hub->window);
    hub->page.audience = NULL;
}

/* Another database is open: what is in memory is of no use. Each stream finds the gap in its turn
 * of replay, by its epoch. */
void
fanout_reset(void *arg, const struct store_marks *marks)
{
    struct hub *hub = arg;
    audiences_each(hub->audiences, fall_behind, NULL);
    hub->epoch++;
    hub->epoch_marks = *marks;
    fanout_publish_tail(hub, marks->tail);
    window_reset(hub->window, marks->tail);
    hub->page.audience = NULL;
}
