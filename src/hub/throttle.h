/* throttle.h - streams that pause: by throttle=, or for a moment until the hub has read on.
 *
 * A paused stream is THROTTLED and writes nothing; its timer makes it READY. What came meanwhile
 * it then reads as one page. */
#ifndef ROWCAST_HUB_THROTTLE_H
#define ROWCAST_HUB_THROTTLE_H

#include "hub/stream.h"

/* True when throttle= does not let the stream write now; it is then THROTTLED until it may. */
bool throttle_holds(struct stream *stream);

/* Rows are written now: the next ones are due throttle= later. */
void throttle_note_write(struct stream *stream);

/* Pauses the stream. Drops it when memory is out. */
void throttle_pause(struct stream *stream, uint64_t ms);

#endif
