/* refusal_log.h - log lines about requests that are sent away: some, not as many as somebody likes to
 * provoke.
 *
 * Of one address and status REFUSAL_LOG_EACH lines a minute are written, REFUSAL_LOG_ALL in all; the
 * next line that is written says how many were not. Metrics count all of them. */
#ifndef ROWCAST_LIMITS_REFUSAL_LOG_H
#define ROWCAST_LIMITS_REFUSAL_LOG_H

#include "base/error.h"
#include "limits/limits.h"
#include "base/log.h"
#include "limits/token_bucket.h"

#define REFUSAL_LOG_EACH 5
#define REFUSAL_LOG_ALL 60
#define REFUSAL_LOG_SLOTS 256

struct refusal_log {
    const struct log *log;
    struct hash_key key;
    struct token_buckets each, all;
    _Atomic uint64_t each_slots[REFUSAL_LOG_SLOTS];
    _Atomic uint64_t all_slots[TOKEN_BUCKET_WINDOW];
    uint64_t suppressed; /* since the last line */
};

struct refusal_note {
    int status;          /* 200: over a limit or drained */
    const char *user;    /* NULL: nobody */
    const char *address; /* NULL: none */
    const char *why;
};

/* Must stay where it is. Returns 0, or -1 with *error. */
int refusal_log_init(struct refusal_log *refusal_log, const struct log *log,
                     struct error *error);

/* At warn what the administrator can mend (limits, errors of the server), else at info. now_ms: as
 * for token_bucket_take. */
void refusal_log_note(struct refusal_log *refusal_log, const struct refusal_note *refused,
                      uint64_t now_ms);

/* Tells of those that no line was written for. */
void refusal_log_fini(struct refusal_log *refusal_log);

#endif
