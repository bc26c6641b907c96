/* revoke.c - ends the streams and polls of users who were thrown out; see hub_end_revoked.
 *
 * It looks at all streams, which takes some milliseconds for a hundred thousand, and is called
 * only when there are new revocations. */
#include "config.h"

#include <stdlib.h>

#include "hub/stream.h"

struct ending {
    hub_login_fn is_over;
    void *arg;
    struct stream **streams; /* that are to end */
    size_t count, room;
};

static bool
is_to_end(const struct ending *ending, const struct stream *stream)
{
    const struct hub_login login = {.user = stream->audience->filter.user,
                                    .by_ticket = stream->by_ticket,
                                    .since_ms = stream->since_ms};
    return login.user != NULL && ending->is_over(ending->arg, &login);
}

static void
collect(struct ending *ending, const struct queue *queue)
{
    for (struct queue_link *link = queue->ends.next;
         link != &queue->ends && ending->count < ending->room; link = link->next) {
        struct stream *stream = queue_item(link, struct stream, by_write);
        if (is_to_end(ending, stream))
            ending->streams[ending->count++] = stream;
    }
}

/* A poll whose reader has not taken its answer is closed too. */
static void
end_stream(struct stream *stream)
{
    if (stream->state != STREAM_CLOSED)
        stream->kind->end(stream, CLOSE_REVOKED, "revoked");
    if (stream->state != STREAM_CLOSED)
        stream_drop(stream, CLOSE_REVOKED);
}

/* The streams are collected first, because ending one may close others. Without memory for many,
 * each walk ends one. */
void
hub_end_revoked(struct hub *hub, hub_login_fn is_over, void *arg)
{
    struct stream *one = NULL;
    struct ending ending = {.is_over = is_over, .arg = arg, .room = hub->counters->streams};
    struct stream **many = calloc(ending.room + 1, sizeof(struct stream *));
    if (many == NULL)
        ending.room = 1;
    ending.streams = many != NULL ? many : &one;
    do {
        ending.count = 0;
        collect(&ending, &hub->blocked);
        collect(&ending, &hub->writable);
        for (size_t i = 0; i < ending.count; i++)
            end_stream(ending.streams[i]);
    } while (many == NULL && ending.count > 0);
    free(many);
}
