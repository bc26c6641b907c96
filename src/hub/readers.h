/* readers.h - the hub's side of hub_watch_readers. admit.c tells of a stream that opens, stream.c
 * of its end. */
#ifndef ROWCAST_HUB_READERS_H
#define ROWCAST_HUB_READERS_H

#include "hub/stream.h"

void readers_tell_open(struct stream *stream);
void readers_tell_close(struct stream *stream); /* harmless for one that was not told of */

#endif
