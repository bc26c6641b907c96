/* tail_loop.h - a command that continues until it is interrupted, woken by commits. */
#ifndef ROWCAST_CMD_TAIL_LOOP_H
#define ROWCAST_CMD_TAIL_LOOP_H

#include <stdbool.h>

#include "base/error.h"
#include "feed/watch.h"

enum tail_loop_step {
    TAIL_LOOP_NOTHING, /* nothing was new: wait */
    TAIL_LOOP_FOUND,   /* something was, and more may come soon */
    TAIL_LOOP_STOP
};

typedef enum tail_loop_step (*tail_loop_fn)(void *arg, enum watch_reason reason);

/* From now on SIGINT and SIGTERM do not end the process: tail_loop_interrupted is true
 * instead, and a write that blocks fails with EINTR. SIGPIPE is ignored. */
void tail_loop_catch_signals(void);
bool tail_loop_interrupted(void);

/* Calls look when the database may have changed (feed/watch.h), and at least once a second, until
 * it says stop, a signal comes, or standard output has no reader any more. -1 with *error: it could
 * not begin. */
int tail_loop_run(const char *db_path, tail_loop_fn look, void *arg, struct error *error);

#endif
