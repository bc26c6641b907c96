/* readers.c - calls the watcher (presence) when streams open and end; see hub_watch_readers. */
#include "config.h"

#include "hub/readers.h"

static struct hub_reader
reader_of(const struct stream *stream)
{
    return (struct hub_reader){.user = stream->audience->filter.user,
                               .address = stream->address,
                               .channels = &stream->audience->filter.requested};
}

void
hub_watch_readers(struct hub *hub, const struct hub_watcher *watcher)
{
    hub->watcher = watcher != NULL ? *watcher : (struct hub_watcher){NULL, NULL, NULL};
}

void
readers_tell_open(struct stream *stream)
{
    const struct hub_watcher *watcher = &stream->hub->watcher;
    if (watcher->opened == NULL || stream->kind != &event_stream_kind)
        return;
    const struct hub_reader reader = reader_of(stream);
    stream->watched = watcher->opened(watcher->arg, &reader);
}

void
readers_tell_close(struct stream *stream)
{
    const struct hub_watcher *watcher = &stream->hub->watcher;
    if (stream->watched == NULL || watcher->closed == NULL)
        return;
    const struct hub_reader reader = reader_of(stream);
    watcher->closed(watcher->arg, stream->watched, &reader);
    stream->watched = NULL;
}
