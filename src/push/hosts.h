/* hosts.h - to which push services may anything be sent? Pure.
 *
 * Endpoints come from strangers, and the sender asks each of them: without a list of hosts a
 * stranger would have it ask any machine that it can reach (server-side request forgery). `rowcast
 * serve` judges an endpoint when it is given, `rowcast push` once more before each message. */
#ifndef ROWCAST_PUSH_HOSTS_H
#define ROWCAST_PUSH_HOSTS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text_list.h"

#define PUSH_ENDPOINT_MAX 2048 /* bytes of a URL */
#define PUSH_ORIGIN_MAX 280    /* bytes of scheme, host and port, with a NUL */
#define PUSH_REF_MAX 300       /* bytes of what a log calls an endpoint, with a NUL */

/* Checks what --push-host was given: a host ("push.example.org"), all hosts below one
 * ("*.example.org"), or a whole origin ("http://127.0.0.1:8123"), which alone may be plain http or
 * in a private network. Returns 0, or -1 with *error. */
int push_hosts_check(const struct text_list *hosts, struct error *error);

struct push_origin {
    char text[PUSH_ORIGIN_MAX]; /* as RFC 6454 section 6.2 writes it, lower case */
    bool is_own;                /* listed as a whole origin: its address may be private */
};

/* Whether the endpoint is an absolute URL of https without user, port, literal address or
 * fragment, on one of the hosts; or on one of the whole origins. An empty list: the push services
 * of Google, Mozilla, Microsoft and Apple. Returns 0 and the origin, or -1 with *error, which
 * quotes no more of the endpoint than its host. */
int push_endpoint_check(const char *endpoint, const struct text_list *hosts,
                        struct push_origin *origin, struct error *error);

/* What the log calls an endpoint, which is a secret: its host and a hash of it, in 8 hex digits.
 * Returns out. */
const char *push_endpoint_ref(char out[PUSH_REF_MAX], const char *endpoint);

/* The default list, for messages: "fcm.googleapis.com, ...". */
const struct text_list *push_hosts_default(void);

#endif
