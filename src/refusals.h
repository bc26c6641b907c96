/* refusals.h - log lines about requests that are sent away: some, not as many as somebody likes to
 * provoke.
 *
 * Of one address and status REFUSALS_EACH lines a minute are written, REFUSALS_ALL in all; the
 * next line that is written says how many were not. Metrics count all of them. */
#ifndef ROWCAST_REFUSALS_H
#define ROWCAST_REFUSALS_H

#include "error.h"
#include "quota.h"
#include "log.h"
#include "rate.h"

#define REFUSALS_EACH 5
#define REFUSALS_ALL 60
#define REFUSALS_SLOTS 256

struct refusals {
    const struct log *log;
    struct quota_key key;
    struct rate each, all;
    _Atomic uint64_t each_slots[REFUSALS_SLOTS];
    _Atomic uint64_t all_slots[RATE_WINDOW];
    uint64_t suppressed; /* since the last line */
};

struct refused {
    int status;          /* 200: over a limit or drained */
    const char *user;    /* NULL: nobody */
    const char *address; /* NULL: none */
    const char *why;
};

/* Must stay where it is. Returns 0, or -1 with *error. */
int refusals_init(struct refusals *refusals, const struct log *log, struct error *error);

/* At warn what the administrator can mend (limits, errors of the server), else at info. now_ms: as
 * for rate_take. */
void refusals_note(struct refusals *refusals, const struct refused *refused,
                   uint64_t now_ms);

/* Tells of those that no line was written for. */
void refusals_fini(struct refusals *refusals);

#endif
