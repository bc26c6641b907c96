/* open.c - a request becomes a stream: limits, its start, its extra parts, the opening block. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "hub_internal.h"

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

static bool
is_full(const struct names *names, const char *text, unsigned limit)
{
    if (limit == 0 || text == NULL)
        return false;
    const struct name *name = names_find(names, slice_of(text));
    return name != NULL && name->count >= limit;
}

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
static const struct refusal {
    const char *name;
    const char *words;
} refusals[HUB_REFUSALS] = {{"draining", "restarting"},
                            {"streams", "too many streams"},
                            {"user", "too many streams of this user"},
                            {"address", "too many streams from this address"},
                            {"database", "the database cannot be read just now"},
                            {"memory", "out of memory"},
                            {"rate", "too many connections"},
                            {"other", ""}};

const char *
hub_refusal_name(int which)
{
    return refusals[which].name;
}

static size_t
refusal_of(const char *words)
{
    size_t i = 0;
    while (i < HUB_REFUSALS - 1 && strcmp(refusals[i].words, words) != 0)
        i++;
    return i;
}

/* The newcomer is sent away, never an old stream. NULL when there is room. */
static const char *
open_refusal(const struct hub *hub, const struct wire *wire, const struct request *request)
{
    if (hub->draining)
        return "restarting";
    if (wire->over_limit || hub->counters->streams >= hub->config.max_here ||
        open_streams(hub) >= hub->config.max_streams)
        return "too many streams";
    if (is_full(&hub->by_user, request->filter.user, hub->config.max_per_user))
        return "too many streams of this user";
    if (is_full(&hub->by_address, request->address, hub->config.max_per_address))
        return "too many streams from this address";
    return NULL;
}

static struct name *
count_in(struct names *names, const char *text, unsigned limit)
{
    struct name *name = NULL;
    if (limit > 0 && text != NULL)
        name = names_get(names, slice_of(text));
    if (name != NULL)
        name->count++;
    return name;
}

static void
count_out(struct names *names, struct name *name)
{
    if (name != NULL && --name->count == 0)
        names_remove(names, name);
}

void
open_uncount(struct stream *stream)
{
    count_out(&stream->hub->by_user, stream->user_count);
    count_out(&stream->hub->by_address, stream->address_count);
    stream->user_count = stream->address_count = NULL;
}

/* --- the stream -------------------------------------------------------------------------- */

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
    stream->user_count =
        count_in(&hub->by_user, stream->audience->filter.user, hub->config.max_per_user);
    stream->address_count =
        count_in(&hub->by_address, stream->address, hub->config.max_per_address);
    stream->epoch = hub->epoch;
    stream->serial = ++hub->serial;
    stream->opened_ms = stream->wrote_ms = uv_now(hub->loop);
    stream->state = STREAM_READY;
    queue_link_init(&stream->by_write);
    queue_link_init(&stream->turn);
    queue_push(&hub->quiet, &stream->by_write);
    wire->reader = stream;
    hub->counters->streams++;
    hub->counters->formats[request->format]++;
    hub->counters->behind++;
    hub->counters->opened++;
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
    uint64_t fifth = hub->config.max_age_ms / 5;
    return hub->config.max_age_ms - fifth / 2 + random_up_to(fifth);
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
        extra->seek_at = extra->seek_found = feed_marks(hub->feed)->tail;
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
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    sse_append_open(&hub->scratch, format, hub->config.retry_ms, start->cursor);
    if (start->has_gap)
        sse_append_gap(&hub->scratch, format, &start->gap);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->told = start->cursor;
    if (stream->extra != NULL)
        stream->extra->paced_ms = uv_now(hub->loop);
    if (stream_tell(stream, buf_slice(&hub->scratch)))
        stream_set_state(stream, STREAM_READY);
}

void
stream_begin(struct stream *stream, const struct hub_start *start, struct slice headers)
{
    struct hub *hub = stream->hub;
    stream->cursor = stream->started_at = start->cursor;
    stream->low_water = feed_marks(hub->feed)->low_water;
    if (start->has_gap)
        hub->counters->gaps++;
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
    unsigned retry_ms = hub->config.retry_ms;
    hub->counters->refused++;
    hub->counters->refused_by[refusal_of(reason)]++;
    buf_clear(&hub->scratch);
    buf_append(&hub->scratch, headers.p, headers.len);
    if (format == FORMAT_JSON)
        buf_printf(&hub->scratch, "{\"last_event_id\":null,\"gap\":null,\"events\":[]}\n");
    else
        sse_append_goodbye(&hub->scratch, format,
                           retry_ms + (unsigned)random_up_to(2 * (uint64_t)retry_ms),
                           reason);
    if (hub->scratch.failed)
        wire->ops->drop(wire); /* an answer without its headers would be worse than none */
    else
        wire_answer(wire, buf_slice(&hub->scratch));
}

void
hub_open(struct hub *hub, struct wire *wire, struct request *request, struct slice headers)
{
    const char *refusal = open_refusal(hub, wire, request);
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
    stream->cursor = start.cursor;
    if (stream->extra != NULL && stream->extra->seek_left > 0)
        hub_ready(hub, stream); /* catchup.c finds the start and calls stream_begin */
    else
        stream_begin(stream, &start, headers);
    pulse_arm(hub);
}
