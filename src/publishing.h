/* publishing.h - a POST's way: judged, written off the loop, answered.
 *
 * serve.c hands over the request with its wire; nothing here waits. */
#ifndef ROWCAST_PUBLISHING_H
#define ROWCAST_PUBLISHING_H

#include <uv.h>

#include "gateway.h"
#include "hub.h"
#include "options.h"
#include "request.h"

struct publishing;

struct publishing_config {
    const char *db;
    const char *table;
    const struct option_list *origins; /* --cors-origin */
    struct hub_counters *counters;     /* this worker's; publishes and published are ours */
    struct refusals *refusals;         /* for the log */
    const struct log *log;
};

/* Returns NULL with *error where the table cannot be written; see publisher_new. All that config
 * points to must outlive it. */
struct publishing *publishing_new(uv_loop_t *loop, const struct publishing_config *config,
                                  struct error *error);

/* Answers on the wire, at once or when the rows are committed; until then the wire's reader is
 * ours (wire->publishes). Takes what *request owns; the caller calls request_fini all the same. */
void publishing_request(struct publishing *publishing, struct wire *wire,
                        struct request *request, const struct intake_body *body);

/* For the gateway's handlers. The rows of a requester that is gone are written all the same. */
void publishing_wire_writable(struct wire *wire);
void publishing_wire_gone(struct wire *wire, enum gone_why why);

/* Requests that wait for their rows to be written. 0 for NULL. */
size_t publishing_pending(const struct publishing *publishing);

/* Before the gateway is freed: what is pending is tried once more and answered. */
void publishing_free(struct publishing *publishing);

#endif
