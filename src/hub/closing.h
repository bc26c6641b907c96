/* closing.h - the end of many streams at once takes its time, in steps.
 *
 * When the program drains, each stream learns it, and what is closed, for whatever reason, is
 * freed: with its audience, if it was the last one, and all the names that this has. So are the
 * rows that the window has dropped. Thousands in one step would hold up those streams that are
 * open. */
#ifndef ROWCAST_HUB_CLOSING_H
#define ROWCAST_HUB_CLOSING_H

#include "hub/state.h"

/* Does one turn's share: at most CLOSING_NS, with a look at the clock after every few streams.
 * Returns false when some are left. To be called only before the loop waits, because it frees. */
bool closing_run(struct hub *hub);

#endif
