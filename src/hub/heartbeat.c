/* heartbeat.c - heartbeats, and the end of readers that take nothing.
 *
 * Streams stand in the order of their last write, blocked ones in that of their last progress:
 * one timer that looks at two heads is all it takes, whatever the number of streams. The
 * heartbeat is the garbage collector too: some web servers tell of a closed browser only when
 * they are written to. */
#include "config.h"

#include "hub/state.h"

/* After a broadcast all streams are due in the same millisecond: bursts are spread. */
#define HEARTBEAT_BURST 500
#define HEARTBEAT_BURST_PAUSE_MS 2

static void
beat(struct stream *stream)
{
    struct hub *hub = stream->hub;
    if (stream->is_poll || stream_is_cut(stream) || !output_is_clear(stream->output) ||
        (stream->extra != NULL && stream->extra->seek_left > 0)) {
        stream->wrote_ms = uv_now(hub->loop);
        queue_push(&hub->writable, &stream->by_write);
        return;
    }
    int64_t cursor = stream->state == STREAM_LIVE ? hub->tail : stream->cursor;
    struct heartbeat heartbeat = {
        .cursor = cursor, .has_moved = cursor > stream->last_sent_id, .ping = stream->ping};
    buf_clear(&hub->scratch);
    sse_append_heartbeat(&hub->scratch, stream->audience->format, &heartbeat);
    if (hub->scratch.failed) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->last_sent_id = cursor;
    stream_tell(stream, buf_slice(&hub->scratch));
}

/* Milliseconds until the head of the queue is due, 0 when it is; UINT64_MAX when never. */
static uint64_t
due_in(const struct hub *hub, const struct queue *queue, uint64_t interval_ms)
{
    struct queue_link *link = queue_head(queue);
    if (link == NULL || interval_ms == 0)
        return UINT64_MAX;
    uint64_t due = queue_item(link, struct stream, by_write)->wrote_ms + interval_ms;
    uint64_t now = uv_now(hub->loop);
    return due > now ? due - now : 0;
}

static void
on_heartbeat(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    struct queue_link *link;
    int left = HEARTBEAT_BURST;
    for (; left > 0 && due_in(hub, &hub->blocked, hub->config.stall_ms) == 0; left--)
        if ((link = queue_head(&hub->blocked)) != NULL)
            stream_drop(queue_item(link, struct stream, by_write), CLOSE_STALLED);
    for (; left > 0 && due_in(hub, &hub->writable, hub->config.heartbeat_ms) == 0; left--)
        if ((link = queue_head(&hub->writable)) != NULL)
            beat(queue_item(link, struct stream, by_write));
    heartbeat_arm(hub);
}

void
heartbeat_arm(struct hub *hub)
{
    uint64_t beat_in = due_in(hub, &hub->writable, hub->config.heartbeat_ms);
    uint64_t stall_in = due_in(hub, &hub->blocked, hub->config.stall_ms);
    uint64_t in = beat_in < stall_in ? beat_in : stall_in;
    if (in == UINT64_MAX)
        return;
    if (in == 0)
        in = HEARTBEAT_BURST_PAUSE_MS;
    /* A timer that fires early finds nothing due and is set again: no need to move it back. */
    if (uv_is_active((uv_handle_t *)&hub->heartbeat) &&
        uv_timer_get_due_in(&hub->heartbeat) <= in)
        return;
    uv_timer_start(&hub->heartbeat, on_heartbeat, in, 0);
}
