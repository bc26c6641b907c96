/* endpoint.h - /events/push: stores and ends a browser's subscription, and gives the key to
 * subscribe with.
 *
 * serve/dispatch.c hands the request over, after access_check. Nothing here waits: the writer's
 * thread stores (publish/queue.h). Nothing is sent from here; that is `rowcast push`. */
#ifndef ROWCAST_PUSH_ENDPOINT_H
#define ROWCAST_PUSH_ENDPOINT_H

#include "fastcgi/body.h"
#include "publish/request_job.h"

/* Requests of one address that change something: so many at once, then one in that time. */
#define PUSH_REQUESTS_AT_ONCE 20
#define PUSH_REQUEST_EVERY_MS 3000

struct push_endpoint;

struct push_endpoint_config {
    const char *public_key;        /* that browsers subscribe with, as base64url; outlives it */
    const struct text_list *hosts; /* --push-host; outlives it */
    int64_t max_per_user, max_per_address, max_of_all; /* subscriptions; 0: no bound */
};

/* Copies both configs. Returns NULL with *error when memory or descriptors are out. */
struct push_endpoint *push_endpoint_new(const struct request_endpoint_config *base,
                                        const struct push_endpoint_config *config,
                                        struct error *error);

/* Answers on the output, at once or when the writer is done; until then the output is owned here.
 * Takes what *request owns; the caller calls request_fini all the same. */
void push_endpoint_request(struct push_endpoint *endpoint, struct output *output,
                           struct request *request, const struct request_body *body);

/* Requests that wait for the writer. 0 for NULL. */
size_t push_endpoint_pending(const struct push_endpoint *endpoint);

/* After the writer, before the gateway. NULL is harmless. */
void push_endpoint_free(struct push_endpoint *endpoint);

#endif
