/* stream_list.c - the open streams one by one, for the status page. */
#include "config.h"

#include "hub/state.h"

static const char *
state_name(const struct stream *stream)
{
    static const char *const names[] = {[STREAM_LIVE] = "live",
                                        [STREAM_READY] = "catching up",
                                        [STREAM_BLOCKED] = "blocked",
                                        [STREAM_THROTTLED] = "throttled",
                                        [STREAM_CLOSED] = "closed"};
    return names[stream->state];
}

static void
list_stream(const struct stream *stream, hub_stream_fn fn, void *arg)
{
    const struct hub *hub = stream->hub;
    int64_t tail = hub_tail(hub);
    int64_t cursor = stream_cursor(stream);
    struct hub_stream_info info = {.serial = stream->serial,
                                   .user = stream->audience->filter.user,
                                   .address = stream->address,
                                   .channels = &stream->audience->filter.requested,
                                   .format = stream->audience->format,
                                   .state = state_name(stream),
                                   .age_ms = uv_now(hub->loop) - stream->opened_ms,
                                   .cursor = cursor,
                                   .distance = cursor < tail ? tail - cursor : 0,
                                   .events = stream->events,
                                   .bytes = stream->bytes};
    fn(arg, &info);
}

size_t
hub_each_stream(const struct hub *hub, size_t most, hub_stream_fn fn, void *arg)
{
    const struct queue *const queues[] = {&hub->blocked, &hub->writable};
    size_t listed = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct queue_link *end = &queues[i]->ends;
        for (struct queue_link *link = end->next; link != end && listed < most;
             link = link->next, listed++)
            list_stream(queue_item(link, struct stream, by_write), fn, arg);
    }
    return hub->counters->streams > listed ? hub->counters->streams - listed : 0;
}
