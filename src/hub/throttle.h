/* throttle.h - streams that pause: by throttle=, or for a moment until the hub has read on.
 *
 * A paused stream is THROTTLED and writes nothing; its timer makes it READY. What came meanwhile
 * it then reads as one page. */
#ifndef ROWCAST_HUB_THROTTLE_H
#define ROWCAST_HUB_THROTTLE_H

#include "hub/stream.h"

/* True when throttle= forbids the stream to write now; it is then THROTTLED until the time has
 * passed. */
bool throttle_holds(struct stream *stream);

/* Notes that rows are written now: the next may come throttle= later. */
void throttle_note_write(struct stream *stream);

/* Pauses the stream; drops it when out of memory. */
void throttle_pause(struct stream *stream, uint64_t ms);

#endif
