/* throttle.c - the pace timer; see hub/throttle.h. Called by fan-out and replay. */
#include "config.h"

#include "hub/throttle.h"

static void
on_pace(uv_timer_t *timer)
{
    struct stream_extra *extra = timer->data;
    if (extra->stream != NULL && extra->stream->state == STREAM_THROTTLED)
        stream_set_state(extra->stream, STREAM_READY);
}

void
throttle_pause(struct stream *stream, uint64_t ms)
{
    struct stream_extra *extra = stream_need_extra(stream);
    if (extra == NULL) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream_set_state(stream, STREAM_THROTTLED);
    uv_timer_start(&extra->pace, on_pace, ms, 0);
}

bool
throttle_holds(struct stream *stream)
{
    const struct stream_extra *extra = stream->extra;
    if (extra == NULL || extra->throttle_ms == 0)
        return false;
    uint64_t since = uv_now(stream->hub->loop) - extra->paced_ms;
    if (since >= extra->throttle_ms)
        return false;
    throttle_pause(stream, extra->throttle_ms - since);
    return true;
}

void
throttle_note_write(struct stream *stream)
{
    if (stream->extra != NULL)
        stream->extra->paced_ms = uv_now(stream->hub->loop);
}
