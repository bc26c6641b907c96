/* window_warm.h - the window's first content: the newest rows, as many as fit.
 *
 * After a restart all streams come back at once, each a little behind: the rows that they miss
 * should be in memory then, not be read once for each of them. */
#ifndef ROWCAST_HUB_WINDOW_WARM_H
#define ROWCAST_HUB_WINDOW_WARM_H

#include "hub/state.h"

void window_warm(struct hub *hub);

#endif
