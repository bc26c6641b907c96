/* admit.c - a request becomes a stream: limits, its start, its extra parts, the opening block. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/state.h"

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

/* --- limits ------------------------------------------------------------------------------ */

/* Why a request is sent away, and how long it had better stay there. */
struct refusal {
    enum hub_refusal why;
    uint64_t wait_ms;
};

/* Of all workers. */
static uint64_t
open_streams(const struct hub *hub)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < hub->config.workers; i++)
        sum += hub->config.counters[i].streams;
    return sum;
}

/* The labels of the counters, and the words that a client reads. */
static const struct {
    const char *name;
    const char *words;
} refusal_log[HUB_REFUSALS] = {
    [HUB_DRAINING] = {"draining", "restarting"},
    [HUB_FULL] = {"streams", "too many streams"},
    [HUB_USER_FULL] = {"user", "too many streams of this user"},
    [HUB_ADDRESS_FULL] = {"address", "too many streams from this address"},
    [HUB_NO_DATABASE] = {"database", "the database cannot be read just now"},
    [HUB_NO_MEMORY] = {"memory", "out of memory"},
    [HUB_TOO_OFTEN] = {"rate", "too many connects from this address"},
};

const char *
hub_refusal_name(int which)
{
    return refusal_log[which].name;
}

/* The newcomer is sent away, never an old stream. *hold: what it takes up when it is let in. */
static struct refusal
open_admit(const struct hub *hub, const struct output *output,
           const struct request *request, struct limits_hold *hold)
{
    const struct limits_reader reader = {.worker = hub->config.worker,
                                         .user = request->filter.user,
                                         .address = request->address};
    static const enum hub_refusal verdicts[] = {[LIMITS_GRANTED] = HUB_ADMITTED,
                                                [LIMITS_USER_FULL] = HUB_USER_FULL,
                                                [LIMITS_ADDRESS_FULL] = HUB_ADDRESS_FULL};
    struct refusal refusal = {HUB_ADMITTED, 0};
    *hold = LIMITS_NO_HOLD;
    if (hub->draining)
        refusal.why = HUB_DRAINING;
    else if (request->too_often_ms > 0)
        refusal = (struct refusal){HUB_TOO_OFTEN, request->too_often_ms};
    else if (output->over_limit || hub->counters->streams >= hub->config.max_here ||
             open_streams(hub) >= hub->config.max_streams)
        refusal.why = HUB_FULL;
    else
        refusal.why = verdicts[limits_admit(hub->config.limits, &reader, hold)];
    return refusal;
}

/* --- the stream -------------------------------------------------------------------------- */

static struct stream *
stream_new(struct hub *hub, struct output *output, struct request *request)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->hub = hub;
    stream->output = output;
    stream->audience = audiences_join(hub->audiences, &request->filter, request->format);
    if (stream->audience == NULL || audience_reserve(stream->audience) != 0) {
        if (stream->audience != NULL)
            audiences_leave(hub->audiences, stream->audience);
        free(stream);
        return NULL;
    }
    stream->ping = request->ping;
    stream->is_poll = request->format == FORMAT_JSON;
    stream->address = request->address;
    request->address = NULL;
    stream->hold = LIMITS_NO_HOLD;
    stream->epoch = hub->epoch;
    stream->serial = ++hub->serial;
    stream->opened_ms = stream->wrote_ms = uv_now(hub->loop);
    stream->state = STREAM_READY;
    queue_link_init(&stream->by_write);
    queue_link_init(&stream->turn);
    queue_push(&hub->writable, &stream->by_write);
    output->reader = stream;
    hub->counters->streams++;
    hub->counters->formats[request->format]++;
    hub->counters->behind++;
    hub->counters->opened++;
    return stream;
}

static uint64_t
ms_left(int64_t until_ms)
{
    int64_t now_ms = wall_clock_ms();
    return until_ms > now_ms ? (uint64_t)(until_ms - now_ms) : 0;
}

static void
on_limit(uv_timer_t *timer)
{
    struct stream_extra *extra = timer->data;
    struct stream *stream = extra->stream;
    if (stream == NULL || stream->state == STREAM_CLOSED)
        return;
    if (stream->is_poll)
        fanout_poll(stream->hub, stream, (struct slice){"", 0});
    else if (!extra->limit_is_expiry)
        stream_end(stream, CLOSE_AGED, "max age reached");
    else if (wall_clock_ms() < extra->expires_at_ms) /* the clock was set back */
        uv_timer_start(timer, on_limit, ms_left(extra->expires_at_ms), 0);
    else
        stream_end(stream, CLOSE_EXPIRED, "ticket expired");
}

/* --max-age, spread by a tenth so that streams opened together do not come back together. */
static uint64_t
hub_age_limit(const struct hub *hub)
{
    uint64_t fifth = hub->config.max_age_ms / 5;
    return hub->config.max_age_ms - fifth / 2 + random_up_to(fifth);
}

/* A document waits for wait=, another stream lives for --max-age; both no longer than the ticket
 * that opened it. */
static void
stream_set_limit(struct stream_extra *extra, const struct request *request)
{
    const struct hub *hub = extra->stream->hub;
    bool once = extra->stream->is_poll;
    uint64_t limit_ms = UINT64_MAX;
    if (once)
        limit_ms = (uint64_t)request->wait_s * 1000;
    else if (hub->config.max_age_ms > 0)
        limit_ms = hub_age_limit(hub);
    extra->expires_at_ms = request->expires_at_ms;
    if (extra->expires_at_ms > 0 && ms_left(extra->expires_at_ms) < limit_ms) {
        limit_ms = ms_left(extra->expires_at_ms);
        extra->limit_is_expiry = true;
    }
    if (limit_ms != UINT64_MAX && (!once || request->wait_s > 0))
        uv_timer_start(&extra->limit, on_limit, limit_ms, 0);
}

/* Timers and everything else that not every stream has. */
static int
stream_set_up_extra(struct stream *stream, const struct request *request,
                    struct slice headers)
{
    struct hub *hub = stream->hub;
    if (request->throttle_ms == 0 && hub->config.max_age_ms == 0 && !stream->is_poll &&
        request->expires_at_ms == 0 && request->start != START_LAST)
        return 0;
    struct stream_extra *extra = stream_need_extra(stream);
    if (extra == NULL)
        return -1;
    extra->throttle_ms = stream->is_poll ? 0 : request->throttle_ms;
    stream_set_limit(extra, request);
    if (stream->is_poll || request->start == START_LAST)
        buf_append(&extra->opening, headers.p, headers.len);
    if (request->start == START_LAST) {
        extra->seek_left = (uint32_t)request->start_value;
        extra->seek_at = extra->seek_found = feed_marks(hub->feed)->tail;
    }
    return extra->opening.failed ? -1 : 0;
}

/* Where the opening says that the stream starts. Before a gap it is the client's own id: one that
 * is cut off between the two comes back with that, and is told of the gap again. (But what is
 * no number cannot be given back.) */
static void
opening_id(char id[REQUEST_ID_TEXT_MAX + 1], const struct resume_point *start)
{
    if (start->has_gap && start->gap.reason != GAP_BAD_ID)
        snprintf(id, REQUEST_ID_TEXT_MAX + 1, "%s", start->after);
    else
        snprintf(id, REQUEST_ID_TEXT_MAX + 1, "%lld", (long long)start->cursor);
}

/* Headers, the opening block and what gap there is, in one write. */
static void
stream_send_opening(struct stream *stream, const struct resume_point *start,
                    struct slice headers)
{
    struct hub *hub = stream->hub;
    enum format format = stream->audience->format;
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    char id[REQUEST_ID_TEXT_MAX + 1];
    opening_id(id, start);
    sse_append_open(&hub->scratch, format, hub->config.retry_ms, id);
    if (start->has_gap)
        sse_append_gap(&hub->scratch, format, &start->gap);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->last_sent_id = start->cursor;
    if (stream->extra != NULL)
        stream->extra->paced_ms = uv_now(hub->loop);
    if (stream_tell(stream, buf_slice(&hub->scratch)))
        stream_set_state(stream, STREAM_READY);
}

void
stream_begin(struct stream *stream, const struct resume_point *start, struct slice headers)
{
    struct hub *hub = stream->hub;
    stream->cursor = stream->started_at = start->cursor;
    stream->low_water = feed_marks(hub->feed)->low_water;
    if (start->has_gap)
        hub->counters->gaps++;
    stream_log_open(stream);
    if (!stream->is_poll) {
        stream_send_opening(stream, start, headers);
        return;
    }
    if (start->has_gap)
        replay_keep_gap(stream, start);
    stream->last_sent_id = start->cursor;
    stream_set_state(stream, STREAM_READY);
}

/* Spread, so that those who were sent away together do not come back together. */
static unsigned
refusal_retry(const struct hub *hub, uint64_t wait_ms)
{
    uint64_t least = hub->config.retry_ms;
    if (wait_ms == 0)
        return (unsigned)(least + random_up_to(2 * least));
    if (least < wait_ms)
        least = wait_ms;
    return (unsigned)(least + random_up_to(least / 2));
}

/* Not an error status: an EventSource gives up for good on any status but 200. */
static void
hub_refuse(struct hub *hub, struct output *output, const struct request *request,
           struct slice headers, struct refusal refusal)
{
    const char *words = refusal_log[refusal.why].words;
    const struct refusal_note refused = {200, request->filter.user, request->address,
                                         words};
    hub->counters->refused++;
    if (hub->config.refusal_log != NULL)
        refusal_log_note(hub->config.refusal_log, &refused, uv_now(hub->loop));
    hub->counters->refused_by[refusal.why]++;
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    if (request->format == FORMAT_JSON)
        buf_printf(&hub->scratch, "{\"last_event_id\":null,\"gap\":null,\"events\":[]}\n");
    else
        sse_append_goodbye(&hub->scratch, request->format,
                           refusal_retry(hub, refusal.wait_ms), words);
    if (hub->scratch.failed)
        output->ops->drop(
            output); /* an answer without its headers would be worse than none */
    else
        output_answer(output, buf_slice(&hub->scratch));
}

/* Finds where it starts and makes the stream; NULL with what to tell the reader. */
static struct stream *
open_stream(struct hub *hub, struct output *output, struct request *request,
            struct resume_point *start, struct refusal *refusal)
{
    /* What was committed before this request is old, what comes later is new. */
    feed_look(hub->feed);
    *refusal = (struct refusal){HUB_NO_DATABASE, 0};
    if (resume_resolve(hub, request, start) != 0)
        return NULL;
    refusal->why = HUB_NO_MEMORY;
    return stream_new(hub, output, request);
}

void
hub_open(struct hub *hub, struct output *output, struct request *request,
         struct slice headers)
{
    struct resume_point start = {0};
    struct limits_hold hold;
    struct stream *stream = NULL;
    struct refusal refusal = open_admit(hub, output, request, &hold);
    if (refusal.why == HUB_ADMITTED)
        stream = open_stream(hub, output, request, &start, &refusal);
    if (stream == NULL) {
        limits_release(hub->config.limits, &hold);
        hub_refuse(hub, output, request, headers, refusal);
        return;
    }
    stream->hold = hold;
    if (stream_set_up_extra(stream, request, headers) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->cursor = start.cursor;
    if (stream->extra != NULL && stream->extra->seek_left > 0)
        hub_ready(hub, stream); /* hub/replay.c finds the start and calls stream_begin */
    else
        stream_begin(stream, &start, headers);
    heartbeat_arm(hub);
}
