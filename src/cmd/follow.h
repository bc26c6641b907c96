/* follow.h - a command that continues until it is interrupted, woken by commits. */
#ifndef ROWCAST_CMD_FOLLOW_H
#define ROWCAST_CMD_FOLLOW_H

#include <stdbool.h>

#include "base/error.h"
#include "feed/watch.h"

enum follow_step {
    FOLLOW_NOTHING, /* nothing was new: wait */
    FOLLOW_FOUND,   /* something was, and more may come soon */
    FOLLOW_STOP
};

typedef enum follow_step (*follow_fn)(void *arg, enum watch_reason reason);

/* From now on SIGINT and SIGTERM do not end the process: follow_interrupted is true instead, and a
 * write that blocks fails with EINTR. SIGPIPE is ignored. */
void follow_catch_signals(void);
bool follow_interrupted(void);

/* Calls look when the database may have changed (feed/watch.h), and at least once a second, until
 * it says stop, a signal comes, or standard output has no reader any more. -1 with *error: it could
 * not begin. */
int follow(const char *db_path, follow_fn look, void *arg, struct error *error);

#endif
