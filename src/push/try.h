/* try.h - one message to one subscription, for a person who asks whether it works. */
#ifndef ROWCAST_PUSH_TRY_H
#define ROWCAST_PUSH_TRY_H

#include "push/sender.h"

struct try_answer {
    int status;   /* 0: none */
    char why[64]; /* with status 0 */
};

/* Sends a test notification to the subscription, as config says, and waits for the answer.
 * endpoint: the URL, or what a log calls it (HOST#HASH). It must be in the table; nothing there is
 * changed.
 * Returns 0, or -1 with *error. */
int try_endpoint(const struct sender_config *config, const char *endpoint,
                 struct try_answer *answer, struct error *error);

#endif
