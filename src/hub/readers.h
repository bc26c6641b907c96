/* readers.h - the hub's side of hub_watch_readers. admit.c calls it when a stream opens, stream.c
 * when it ends. */
#ifndef ROWCAST_HUB_READERS_H
#define ROWCAST_HUB_READERS_H

#include "hub/stream.h"

void readers_tell_open(struct stream *stream);
void readers_tell_close(
    struct stream *stream); /* harmless for a stream that the watcher does not watch */

#endif
