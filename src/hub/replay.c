/* replay.c - the steps of streams that are behind; see hub/replay.h. hub/hub.c runs the turns.
 *
 * One path for all of them: a page of rows after the cursor, from the window where it reaches
 * back so far, else from the table; written; and again in the next turn, until the cursor is at
 * the tail and the stream goes live. A turn is bounded in time, looked at for each row.
 *
 * A step ends with the stream in one of these states:
 *   READY      there is more: it waits for its next turn
 *   LIVE       the cursor is at the tail
 *   BLOCKED    the socket is full; it is READY again once the socket took what is pending
 *   THROTTLED  it waits for its pace timer
 *   CLOSED     it ended
 * or with STORE_BUSY or STORE_FAILED and the stream still READY but in no queue: nothing was read,
 * the step is to be made again. */
#include "config.h"

#include "hub/replay.h"

#include "base/clock.h"
#include "hub/replay_page.h"
#include "hub/search.h"
#include "hub/stream.h"
#include "hub/table_state.h"
#include "hub/throttle.h"
#include "hub/turns.h"
#include "store/gap.h"

#define TURN_NS 2000000 /* 2 ms */
#define BURST_WAIT_MS 5

/* A reader who comes from a node that is ahead of this one: how often it is looked whether this one
 * is there, how long after a contact with the log an id that is still not there is none, and
 * for how long a poll is kept. */
#define AHEAD_WAIT_MS 20
#define AHEAD_JUDGE_MS 3000
#define AHEAD_POLL_MS 10000

/* --- an event of which a part is out ------------------------------------------------- */

struct event_reader {
    struct stream *stream;
    bool found;
};

static enum store_step
take_event(void *arg, const struct row *row)
{
    struct event_reader *reader = arg;
    struct hub *hub = reader->stream->hub;
    buf_clear(&hub->scratch);
    sse_append_row(&hub->scratch, reader->stream->audience->format, row,
                   hub->config.max_event_bytes);
    reader->found = true;
    return STORE_STOP;
}

/* Encodes the event into hub->scratch. *found: its row still exists. */
static enum store_result
read_event(struct stream *stream, int64_t id, bool *found)
{
    struct hub *hub = stream->hub;
    struct store *store = feed_store(hub->feed);
    struct event_reader reader = {stream, false};
    struct store_range range = {
        .after = id - 1, .up_to = id, .max_rows = 1, .row = take_event, .arg = &reader};
    struct store_progress progress;
    struct error error = {""};
    enum store_result result = STORE_OK;
    size_t i = window_find(hub->window, id - 1);

    if (i < window_count(hub->window) && window_at(hub->window, i)->row.id == id)
        take_event(&reader, &window_at(hub->window, i)->row);
    else if (store == NULL)
        result = STORE_BUSY;
    else
        result = store_read_range(store, &range, &progress, &error);
    if (result != STORE_OK && store != NULL)
        feed_report(hub->feed, result, &error);
    *found = reader.found;
    return result;
}

/* Continues inside the event. Its bytes were not kept: it is encoded again and must be the same. */
static enum store_result
replay_finish_event(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct cut cut = stream->extra->cut;
    bool found = false;
    enum store_result result = read_event(stream, cut.id, &found);
    if (result != STORE_OK)
        return result;
    struct slice event = buf_slice(&hub->scratch);
    if (!found || hub->scratch.failed || event.len != cut.len ||
        records_hash(event) != cut.hash) {
        stream_drop(stream, CLOSE_CHANGED);
        return STORE_OK;
    }
    records_start(&hub->rest, stream->cursor);
    records_add_event(&hub->rest, cut.id, event, cut.offset);
    if (records_finish(&hub->rest) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return STORE_OK;
    }
    stream->extra->cut.id = 0;
    if (stream_write(stream, &hub->rest, NULL))
        stream_set_state(stream, STREAM_READY);
    else if (stream->state == STREAM_BLOCKED && stream->cursor < cut.id &&
             stream->extra->cut.id == 0)
        stream->extra->cut = cut; /* the socket took nothing of it */
    return STORE_OK;
}

/* --- one stream's step --------------------------------------------------------------- */

/* The file has had a contact with the log since, in which nothing was missing, and this id did not
 * come: no node has given it out. */
static bool
replay_is_unknown_id(const struct stream *stream)
{
    const struct hub *hub = stream->hub;
    const struct store_follower *follower = feed_follower(hub->feed);
    int64_t open_ms = (int64_t)(uv_now(hub->loop) - stream->opened_ms);

    return follower != NULL && stream->cursor > feed_marks(hub->feed)->tail &&
           open_ms > AHEAD_JUDGE_MS &&
           follower->contact_at_ms > clock_unix_ms() - open_ms + AHEAD_JUDGE_MS;
}

/* The cursor is above the hub's tail, and right: the hub is in the middle of a long burst, or this
 * file follows a log and another node was faster. Until the hub gets there, all rows that it reads
 * are old for this stream. */
static void
replay_wait_for_tail(struct stream *stream)
{
    const struct hub *hub = stream->hub;
    bool is_follower = feed_follower(hub->feed) != NULL;

    if (is_follower && stream->kind == &poll_kind &&
        uv_now(hub->loop) - stream->opened_ms > AHEAD_POLL_MS)
        stream->kind->end(stream, CLOSE_ANSWERED, NULL);
    else
        throttle_pause(stream, is_follower ? AHEAD_WAIT_MS : BURST_WAIT_MS);
}

/* Looks for changes to the rows behind the cursor since it was set. True when the stream may
 * continue in this turn. */
static bool
replay_check_gap(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct gap gap;
    bool replaced = stream->epoch != hub->epoch;
    const struct store_marks *marks = replaced ? &hub->epoch_marks : feed_marks(hub->feed);
    bool pruned = marks->low_water > stream->cursor && marks->low_water > stream->low_water;
    bool unknown = replay_is_unknown_id(stream);
    if (!replaced && !pruned && !unknown)
        return true;
    if (stream_is_cut(stream)) {
        stream_drop(stream, CLOSE_CHANGED); /* the client resumes and then gets the gap */
        return false;
    }
    stream->epoch = hub->epoch;
    if (replaced)
        gap_reset(marks, stream->cursor, &gap);
    else if (!gap_find(marks, stream->cursor, &gap))
        return true;
    hub->counters->gaps++;
    stream->low_water = marks->low_water;
    stream->cursor = gap.resumed_at;
    table_state_begin(stream);
    return stream->kind->take_gap(stream, &gap);
}

/* Lets the feed look, then decides again where the stream stands. */
static enum store_result
replay_refresh(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct store_marks before = *feed_marks(hub->feed);
    feed_look(hub->feed);
    const struct store_marks *now = feed_marks(hub->feed);
    if (now->low_water == before.low_water && now->base == before.base)
        return STORE_BUSY; /* it could not look */
    stream_set_state(stream, STREAM_READY);
    return STORE_OK;
}

static enum store_result
replay_page_of(struct stream *stream)
{
    const struct mark *from;
    switch (replay_page_prepare(stream->hub, stream, &from)) {
    case REPLAY_PAGE_OK:
        stream->kind->take_page(stream, from);
        return STORE_OK;
    case REPLAY_PAGE_STALE:
        return replay_refresh(stream);
    case REPLAY_PAGE_UNREADABLE:
        return STORE_BUSY;
    case REPLAY_PAGE_NO_MEMORY:
        stream_drop(stream, CLOSE_NO_MEMORY);
        return STORE_OK;
    }
    return STORE_OK;
}

/* The next step of a stream that was taken off hub->turns. */
static enum store_result
replay_step(struct stream *stream)
{
    if (stream_is_searching(stream))
        return search_step(stream);
    if (!replay_check_gap(stream))
        return STORE_OK;
    if (stream_reads_tables(stream))
        return table_state_step(stream);
    if (stream_is_cut(stream))
        return replay_finish_event(stream);
    if (stream->cursor > hub_tail(stream->hub)) {
        replay_wait_for_tail(stream);
        return STORE_OK;
    }
    if (throttle_holds(stream))
        return STORE_OK;
    return replay_page_of(stream);
}

bool
replay_run(struct hub *hub)
{
    struct stream *stream;
    turns_start_clock(&hub->turns, TURN_NS);
    while ((stream = turns_take(&hub->turns)) != NULL) {
        if (replay_step(stream) != STORE_OK && stream->state == STREAM_READY) {
            turns_push(&hub->turns, stream);
            return false;
        }
        if (turns_time_is_over(&hub->turns))
            break;
    }
    return true;
}
