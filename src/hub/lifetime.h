/* lifetime.h - the time that a stream may last: --max-age, a poll's wait=, a ticket's end. */
#ifndef ROWCAST_HUB_LIFETIME_H
#define ROWCAST_HUB_LIFETIME_H

#include "hub/stream.h"

#define LIFETIME_NO_LIMIT UINT64_MAX

/* Ends the stream after limit_ms, or at the Unix time expires_at_ms (0: none) if that is earlier.
 * Returns 0, or -1 when out of memory. */
int lifetime_start(struct stream *stream, uint64_t limit_ms, int64_t expires_at_ms);

/* --max-age, spread by a tenth so that streams opened together do not come back together. */
uint64_t lifetime_max_age(const struct hub *hub);

#endif
