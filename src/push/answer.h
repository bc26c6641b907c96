/* answer.h - what a push service's answer means for the subscription and the row. Pure.
 *
 * The rule behind it: only the push service ends a subscription, by 404 or 410 (RFC 8030 section
 * 7.3), and only an accepted message lets the cursor pass a row. Whatever else happens, an outage
 * or our own mistake, the row is sent again later. */
#ifndef ROWCAST_PUSH_ANSWER_H
#define ROWCAST_PUSH_ANSWER_H

#include <stdint.h>

#define PUSH_WAIT_FIRST_MS INT64_C(2000)
#define PUSH_WAIT_MAX_MS INT64_C(900000)          /* 15 min: of our own accord */
#define PUSH_RETRY_AFTER_MAX_MS INT64_C(86400000) /* a day: when the service asks for it */

enum push_outcome {
    PUSH_SENT,     /* accepted: the next row */
    PUSH_ENDED,    /* the subscription is gone for good */
    PUSH_TOO_LONG, /* this text: its short form may go */
    PUSH_REFUSED, /* of this subscription: too many messages, a key that is not its own, ... */
    PUSH_UNAVAILABLE /* the service does not work, or what answers is no push service */
};

/* status: of a complete answer header; 0: there was none. */
enum push_outcome push_answer_judge(int status);

/* The value of Retry-After in either form (RFC 9110 section 10.2.3) as a wait from now on, 0 to
 * PUSH_RETRY_AFTER_MAX_MS; -1: it is neither. now_ms: Unix time. */
int64_t push_answer_wait_ms(const char *retry_after, int64_t now_ms);

/* How long to wait after so many failures in a row (at least 1): twice as long each time, up to
 * PUSH_WAIT_MAX_MS, less up to a half by chance, so that not all come at once. */
int64_t push_backoff_ms(int64_t failures, uint64_t chance);

#endif
