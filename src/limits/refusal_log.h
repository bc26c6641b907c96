/* refusal_log.h - log lines that strangers cause: some, not as many as they like to provoke.
 *
 * What is refused or polled costs at most one line an address and second. Of one address and
 * status REFUSAL_LOG_EACH lines a minute are written, REFUSAL_LOG_ALL in all; POLLS_ALL lines
 * of polls; for streams, which cost their reader something, STREAMS_AT_ONCE an address and then
 * STREAMS_A_SECOND. The next line that is written says how many were not. Metrics count
 * everything. The memory is fixed, and addresses are found by a keyed hash. */
#ifndef ROWCAST_LIMITS_REFUSAL_LOG_H
#define ROWCAST_LIMITS_REFUSAL_LOG_H

#include <stdbool.h>

#include "base/error.h"
#include "limits/limits.h"
#include "base/log.h"
#include "limits/token_bucket.h"

#define REFUSAL_LOG_EACH 5
#define REFUSAL_LOG_ALL 60
#define POLLS_ALL 3000 /* a minute */
#define STREAMS_AT_ONCE 1000
#define STREAMS_A_SECOND 10
#define REFUSAL_LOG_SLOTS 256

struct refusal_log {
    const struct log *log;
    struct hash_key key;
    struct token_buckets second, each, all, polls, streams;
    _Atomic uint64_t second_slots[REFUSAL_LOG_SLOTS];
    _Atomic uint64_t each_slots[REFUSAL_LOG_SLOTS];
    _Atomic uint64_t all_slots[TOKEN_BUCKET_WINDOW];
    _Atomic uint64_t poll_slots[TOKEN_BUCKET_WINDOW];
    _Atomic uint64_t stream_slots[REFUSAL_LOG_SLOTS];
    uint64_t suppressed; /* since the last line */
};

struct refusal_note {
    int status;          /* 200: over a limit or drained */
    const char *user;    /* NULL: anonymous */
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

/* Whether the line of a poll, or the two of a stream, may be written; else it is counted. */
bool refusal_log_admit_poll(struct refusal_log *refusal_log, const char *address,
                            uint64_t now_ms);
bool refusal_log_admit_stream(struct refusal_log *refusal_log, const char *address,
                              uint64_t now_ms);

/* The end of a line that is written: " suppressed=N", or "" when all were. */
#define REFUSALS_SUPPRESSED_MAX 48
const char *refusal_log_take_suppressed(struct refusal_log *refusal_log,
                                        char out[REFUSALS_SUPPRESSED_MAX]);

/* Says of how many no line was written. */
void refusal_log_fini(struct refusal_log *refusal_log);

#endif
