/* stop.h - SIGINT and SIGTERM end the follower between two steps, never within a transaction. */
#ifndef ROWCAST_FOLLOW_STOP_H
#define ROWCAST_FOLLOW_STOP_H

#include <poll.h>
#include <stdbool.h>

/* From now on the two signals only set what stop_asked returns. SIGPIPE is ignored. */
void stop_catch_signals(void);
bool stop_asked(void);

/* poll(2), which a signal ends, also one that came just before the call. */
int stop_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
