/* inspect.h - a look at the log from the outside, for `rowcast doctor --from URL`. */
#ifndef ROWCAST_FOLLOW_INSPECT_H
#define ROWCAST_FOLLOW_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct follow_facts {
    int64_t version;    /* of the log's schema */
    int64_t last;       /* the last id that was given */
    int64_t delay_ms;   /* of a standby behind its primary */
    int64_t ahead_ms;   /* the server's clock before ours; less than 0: behind it */
    int64_t connect_ms; /* how long connecting and asking took */
    bool is_numbered;   /* the trigger that gives ids is there and on */
    bool is_standby;
    bool is_utf8;
    char origin[64];
    char name[200]; /* "app at db1:5432" */
};

/* Connects and asks; takes some seconds at the most for each host. Returns 0, or -1 with *error:
 * out of reach, no right, no table. */
int follow_inspect(const char *url, const char *table, struct follow_facts *facts,
                   struct error *error);

#endif
