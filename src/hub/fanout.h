/* fanout.h - new rows to all streams at the tail. The handlers of a feed; arg is the hub. */
#ifndef ROWCAST_HUB_FANOUT_H
#define ROWCAST_HUB_FANOUT_H

#include "hub/state.h"

void fanout_row(void *arg, const struct row *row);
void fanout_batch(void *arg, const struct store_marks *marks, int64_t tail, int64_t lost);
void fanout_reset(void *arg, const struct store_marks *marks);

/* Shows other workers and the thread that deletes rows how far this worker's streams are. */
void fanout_publish_tail(const struct hub *hub, int64_t tail);

#endif
