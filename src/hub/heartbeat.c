/* heartbeat.c - one timer for all streams; see hub/heartbeat.h.
 *
 * The queue of writable streams is in the order of the last write, that of blocked streams in the
 * order of the last progress. So the timer looks at the heads of two queues, however many streams
 * there are. Heartbeats also find closed browsers: some web servers report them only when rowcast
 * writes. */
#include "config.h"

#include "hub/heartbeat.h"

#include "hub/stream.h"

/* After a row for all, all streams are due in the same millisecond; they are spread over turns. */
#define HEARTBEAT_BURST_NS 3000000 /* in one turn: 3 ms */
#define HEARTBEAT_BURST_PAUSE_MS 2

/* Returns the head of the queue if it is due now. Else NULL, and *in is the time until then in
 * milliseconds; UINT64_MAX: never. */
static struct stream *
next_due(const struct hub *hub, const struct queue *queue, uint64_t interval_ms,
         uint64_t *in)
{
    struct queue_link *link = queue_head(queue);
    *in = UINT64_MAX;
    if (link == NULL || interval_ms == 0)
        return NULL;
    struct stream *stream = queue_item(link, struct stream, by_write);
    uint64_t due = stream->wrote_ms + interval_ms;
    uint64_t now = uv_now(hub->loop);
    *in = due > now ? due - now : 0;
    return *in == 0 ? stream : NULL;
}

/* False: no stream is due. */
static bool
serve_next_due(struct hub *hub)
{
    uint64_t in;
    struct stream *stream = next_due(hub, &hub->blocked, hub->config.stall_ms, &in);
    if (stream != NULL) {
        stream_drop(stream, CLOSE_STALLED);
        return true;
    }
    stream = next_due(hub, &hub->writable, hub->config.heartbeat_ms, &in);
    if (stream != NULL)
        stream->kind->beat(stream);
    return stream != NULL;
}

static void
on_heartbeat(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    uint64_t until = uv_hrtime() + HEARTBEAT_BURST_NS;
    while (serve_next_due(hub) && uv_hrtime() < until)
        continue;
}

void
heartbeat_arm(struct hub *hub)
{
    uint64_t in;
    uint64_t stall_in;
    next_due(hub, &hub->writable, hub->config.heartbeat_ms, &in);
    next_due(hub, &hub->blocked, hub->config.stall_ms, &stall_in);
    if (stall_in < in)
        in = stall_in;
    if (in == UINT64_MAX)
        return;
    if (in == 0)
        in = HEARTBEAT_BURST_PAUSE_MS;
    /* A timer that fires early finds nothing due and is set again, so it need not be moved back. */
    if (uv_is_active((uv_handle_t *)&hub->heartbeat) &&
        uv_timer_get_due_in(&hub->heartbeat) <= in)
        return;
    uv_timer_start(&hub->heartbeat, on_heartbeat, in, 0);
}
