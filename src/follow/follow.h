/* follow.h - `rowcast follow --from`: PostgreSQL's log written into an SQLite file, for as long as
 * the process runs. */
#ifndef ROWCAST_FOLLOW_FOLLOW_H
#define ROWCAST_FOLLOW_FOLLOW_H

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

struct follow_settings {
    const char *from; /* URL or keywords, as libpq takes them */
    const char *db;   /* the file; made if there is none */
    const char *table;
    int64_t keep_age_ms; /* 0: not by age; at both ends */
    int64_t keep_rows;   /* 0: not by count; likewise */
    const char *metrics; /* NULL: none */
    const struct log *log;
    void (*ready)(void *arg); /* it runs: the service manager is to know */
    void *arg;
    void (*alive)(void); /* it still does; called about once a second */
};

/* Runs until SIGINT or SIGTERM. Returns 0, or -1 with *error when it cannot follow at all: no table
 * there, no right, another log than the file's. A server that is away is waited for. */
int follow_run(const struct follow_settings *settings, struct error *error);

#endif
