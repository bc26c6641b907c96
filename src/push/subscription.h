/* subscription.h - a subscription as it is stored, and as a browser sends it. Pure.
 *
 * A subscription is a cursor with an endpoint: table rowcast_push (sql/schema.sql). */
#ifndef ROWCAST_PUSH_SUBSCRIPTION_H
#define ROWCAST_PUSH_SUBSCRIPTION_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "event/filter.h"

#define PUSH_PAGE_MAX 1024 /* bytes of the page's URL */

/* What a page asks for, from the body of a POST or DELETE. Owns its parts. */
struct push_wish {
    char *endpoint;
    char *p256dh, *auth; /* base64url, checked */
    char *page;          /* NULL: no declarative messages */
    struct patterns channels;
    bool absent;
    int64_t expires_at; /* Unix milliseconds; 0: the browser did not say */
};

enum push_wish_kind { PUSH_SUBSCRIBES, PUSH_UNSUBSCRIBES };

/* Reads the JSON of a PushSubscription (www.w3.org/TR/push-api, PushSubscriptionJSON) with the
 * members channels, absent and declarative of our own; of an end the endpoint alone. Members that
 * are not known are passed over. Returns 0, or 400 (503: out of memory) with *error, which quotes
 * no key and no endpoint. push_wish_fini in any case. */
int push_wish_parse(struct push_wish *wish, struct slice body, enum push_wish_kind kind,
                    struct error *error);
void push_wish_fini(struct push_wish *wish);

/* A JSON array of the patterns, as the table has it. */
void push_patterns_append(struct buf *buf, const struct patterns *patterns);

/* The reverse: whose as in patterns_compile. Returns 0, or -1: it is no such array. */
int push_patterns_parse(struct patterns *patterns, struct slice json,
                        enum patterns_whose whose);

#endif
