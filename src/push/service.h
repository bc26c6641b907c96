/* service.h - the push services that the sender knows, one for each origin: how they are, and the
 * token that they know us by. Pure but for the signing. */
#ifndef ROWCAST_PUSH_SERVICE_H
#define ROWCAST_PUSH_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/queue.h"
#include "push/hosts.h"
#include "push/vapid.h"

/* After so many failures in a row a service counts as down: then it is asked by one request at a
 * time, at growing intervals, until one is taken. */
#define SERVICE_DOWN_FAILURES 8
#define SERVICE_PAUSE_MAX_MS INT64_C(60000)

struct service {
    struct service *next;
    struct push_origin origin;
    int64_t failures;       /* in a row, of the service itself */
    uint64_t due_ms;        /* while it is down: the next try, of the loop's clock */
    bool is_probed;         /* while it is down: a request is under way */
    int64_t open;           /* requests under way */
    struct queue ready;     /* of subscribers that look for their next row */
    struct queue_link link; /* in the sender's queue of services that may start one */
    struct {
        char *text; /* NULL: none */
        int64_t made_ms;
    } tokens[VAPID_KEYS_MAX];
};

struct services {
    struct service *first;
    const struct vapid_keys *keys;
    const char *subject;
};

/* The service of an origin; made if it is not there. NULL: out of memory. */
struct service *services_find(struct services *services, const struct push_origin *origin);

/* The header Authorization with that key, or NULL when out of memory. Signed again after half its
 * life, and when the clock (Unix time) was set back. Valid until the next call. */
const char *service_authorization(const struct services *services, struct service *service,
                                  const struct vapid_key *key, int64_t now_ms);

/* The service did not accept the token: the next one is signed again. */
void service_forget_tokens(struct service *service);

bool service_is_down(const struct service *service);

void services_fini(struct services *services);

#endif
