/* outcome.h - what the answer to a message changes: the subscription's cursor or wait, the state of
 * the push service, the counts, the log. Called by push/deliver.c. */
#ifndef ROWCAST_PUSH_OUTCOME_H
#define ROWCAST_PUSH_OUTCOME_H

#include "push/answer.h"
#include "push/message.h"
#include "push/sender_state.h"

/* A message that was sent: of which row, to which subscription, in which form. */
struct sent {
    struct subscriber *subscriber;
    struct service *service;
    int64_t row_id;
    enum push_length length;
};

/* The subscription must still exist, and is idle afterwards. With PUSH_ENDED it is freed (kept
 * only when out of memory): the caller must not use it any more. */
enum push_outcome outcome_apply(struct sender *sender, const struct sent *sent,
                                const struct transport_answer *answer);

#endif
