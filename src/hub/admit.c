/* admit.c - opens a stream for a request, or refuses it: limits, the start, the stream's parts.
 *
 * Where there is no room the new request is refused. No older stream is ended for it, except one
 * of the same page (hub/client.h). A refusal is a complete answer with status 200 and a retry:,
 * because an EventSource never reconnects after any other status. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "hub/client.h"
#include "hub/lifetime.h"
#include "hub/readers.h"
#include "hub/resume.h"
#include "hub/search.h"
#include "hub/stream.h"
#include "hub/table_state.h"
#include "hub/turns.h"

/* --- limits ------------------------------------------------------------------------------ */

struct refusal {
    enum hub_refusal why;
    uint64_t wait_ms; /* how long the client should wait at least; 0: not known */
};

static uint64_t
open_streams(const struct hub *hub)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < hub->config.workers; i++)
        sum += hub->config.counters[i].streams + hub->config.counters[i].answers;
    return sum;
}

bool
hub_has_room(const struct hub *hub)
{
    return open_streams(hub) < hub->config.max_streams;
}

/* The web server of this request may have fewer workers than rowcast may have streams. */
static bool
has_room_for(const struct hub *hub, const struct hub_request *request)
{
    return hub_has_room(hub) &&
           (request->max_streams == 0 || open_streams(hub) < request->max_streams);
}

/* Sets *hold to what the limits count for the stream, when the result is HUB_ADMITTED. */
static struct refusal
check_limits(const struct hub *hub, const struct output *output,
             const struct hub_request *request, struct limits_hold *hold)
{
    static const enum hub_refusal verdicts[] = {[LIMITS_GRANTED] = HUB_ADMITTED,
                                                [LIMITS_USER_FULL] = HUB_USER_FULL,
                                                [LIMITS_ADDRESS_FULL] = HUB_ADDRESS_FULL};
    const struct limits_reader reader = {.worker = hub->config.worker,
                                         .user = request->filter.user,
                                         .address = request->address};
    struct refusal refusal = {HUB_ADMITTED, 0};
    *hold = LIMITS_NO_HOLD;
    if (hub->draining)
        refusal.why = HUB_DRAINING;
    else if (request->too_often_ms > 0)
        refusal = (struct refusal){HUB_TOO_OFTEN, request->too_often_ms};
    else if (output->over_limit || hub->counters->streams >= hub->config.max_here ||
             !has_room_for(hub, request))
        refusal.why = HUB_FULL;
    else
        refusal.why = verdicts[limits_admit(hub->config.limits, &reader, hold)];
    return refusal;
}

/* Adds a random time, so that clients that were refused together do not return together. */
static unsigned
refusal_retry_ms(const struct hub *hub, uint64_t wait_ms)
{
    uint64_t least = hub->config.retry_ms;
    if (wait_ms == 0)
        return (unsigned)(least + random_up_to(2 * least));
    if (least < wait_ms)
        least = wait_ms;
    return (unsigned)(least + random_up_to(least / 2));
}

static void
refuse(struct hub *hub, struct output *output, const struct hub_request *request,
       struct refusal refusal)
{
    static const char *const words[HUB_REFUSALS] = {
        [HUB_DRAINING] = "restarting",
        [HUB_FULL] = "too many streams",
        [HUB_USER_FULL] = "too many streams of this user",
        [HUB_ADDRESS_FULL] = "too many streams from this address",
        [HUB_NO_DATABASE] = "the database cannot be read just now",
        [HUB_NO_MEMORY] = "out of memory",
        [HUB_TOO_OFTEN] = "too many connects from this address",
    };
    const struct refusal_note note = {200, request->filter.user, request->address,
                                      words[refusal.why]};
    struct buf *text = &hub->scratch;
    hub->counters->refused++;
    hub->counters->refused_by[refusal.why]++;
    if (hub->config.refusal_log != NULL)
        refusal_log_note(hub->config.refusal_log, &note, uv_now(hub->loop));

    buf_clear(text);
    buf_append(text, request->headers.p, request->headers.len);
    if (request->format == FORMAT_JSON)
        buf_append_text(text, "{\"last_event_id\":null,\"gap\":null,\"events\":[]}\n");
    else
        sse_append_goodbye(text, request->format, refusal_retry_ms(hub, refusal.wait_ms),
                           words[refusal.why]);
    if (text->failed)
        output_drop(output); /* part of an answer is worse than a closed connection */
    else
        output_answer(output, buf_slice(text));
}

/* --- the stream -------------------------------------------------------------------------- */

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

/* Takes the request's filter over; NULL when out of memory. */
static struct audience *
join_audience(struct hub *hub, struct hub_request *request)
{
    struct audience *audience =
        audiences_join(hub->audiences, &request->filter, request->format);
    if (audience != NULL && audience_reserve(audience) != 0) {
        audiences_leave(hub->audiences, audience);
        audience = NULL;
    }
    return audience;
}

static struct stream *
stream_new(struct hub *hub, struct output *output, struct hub_request *request)
{
    struct stream *stream = calloc(1, sizeof *stream);
    char *address = request->address == NULL ? NULL : strdup(request->address);
    if (stream != NULL && (address != NULL || request->address == NULL))
        stream->audience = join_audience(hub, request);
    if (stream == NULL || stream->audience == NULL) {
        free(address);
        free(stream);
        return NULL;
    }
    stream->hub = hub;
    stream->kind = request->format == FORMAT_JSON ? &poll_kind : &event_stream_kind;
    stream->output = output;
    stream->address = address;
    stream->share = turns_share(&hub->turns, address);
    stream->ping = request->ping;
    stream->by_ticket = request->by_ticket;
    stream->since_ms = request->since_ms;
    stream->hold = LIMITS_NO_HOLD;
    stream->epoch = hub->epoch;
    stream->serial = ++hub->serial;
    stream->opened_ms = stream->wrote_ms = uv_now(hub->loop);
    stream->state = STREAM_READY;
    queue_link_init(&stream->by_write);
    queue_link_init(&stream->turn);
    queue_push(&hub->writable, &stream->by_write);
    output_set_owner(output, &stream_output_ops, stream);
    hub->counters->streams++;
    hub->counters->formats[request->format]++;
    hub->counters->behind++;
    hub->counters->opened++;
    return stream;
}

/* Timers and everything else that not every stream has. */
static int
stream_set_up_extra(struct stream *stream, const struct hub_request *request)
{
    bool is_poll = request->format == FORMAT_JSON;
    bool needs_extra = is_poll || request->throttle_ms > 0 ||
                       request->start == START_LAST || request->tables.count > 0;
    uint64_t limit_ms = lifetime_max_age(stream->hub);
    if (needs_extra && stream_need_extra(stream) == NULL)
        return -1;
    if (table_state_set_up(stream, request) != 0)
        return -1;
    if (request->throttle_ms > 0 && !is_poll)
        stream->extra->throttle_ms = request->throttle_ms;
    if (is_poll && request->wait_s == 0)
        return 0; /* a poll without wait= is answered at once and needs no timer */
    if (is_poll)
        limit_ms = (uint64_t)request->wait_s * 1000;
    return lifetime_start(stream, limit_ms, request->expires_at_ms);
}

/* Gives the parts of the request to the new stream. */
static void
start_stream(struct stream *stream, const struct hub_request *request,
             const struct resume_point *start)
{
    if (stream_set_up_extra(stream, request) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->cursor = start->cursor;
    if (request->start == START_TAIL || start->has_gap)
        table_state_begin(stream);
    if (request->start != START_LAST) {
        stream_begin(stream, start, request->headers);
        return;
    }
    buf_append(&stream->extra->headers, request->headers.p, request->headers.len);
    if (stream->extra->headers.failed)
        stream_drop(stream, CLOSE_NO_MEMORY);
    else
        search_start(stream, (uint32_t)request->start_value);
}

void
hub_open(struct hub *hub, struct output *output, struct hub_request *request)
{
    struct resume_point start;
    struct limits_hold hold;
    struct stream *stream = NULL;
    if (request->too_often_ms == 0 && !hub->draining)
        client_end_old(hub, request);
    struct refusal refusal = check_limits(hub, output, request, &hold);
    if (refusal.why == HUB_ADMITTED) {
        /* Rows that were committed before this request are history, later ones are news. */
        feed_look(hub->feed);
        if (request->is_unreadable || resume_find_start(hub, request, &start) != 0)
            refusal.why = HUB_NO_DATABASE;
        else if ((stream = stream_new(hub, output, request)) == NULL)
            refusal.why = HUB_NO_MEMORY;
    }
    if (stream == NULL) {
        limits_release(hub->config.limits, &hold);
        refuse(hub, output, request, refusal);
    } else {
        stream->hold = hold;
        client_remember(stream, request->client);
        readers_tell_open(stream);
        start_stream(stream, request, &start);
    }
    filter_fini(&request->filter);
}
