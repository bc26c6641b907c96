/* endpoint.h - a POST's way: judged, written off the loop, answered.
 *
 * serve/serve.c hands over the request with its output; nothing here waits. */
#ifndef ROWCAST_PUBLISH_ENDPOINT_H
#define ROWCAST_PUBLISH_ENDPOINT_H

#include "fastcgi/body.h"
#include "publish/request_job.h"

struct publish_endpoint;

/* Where it counts: in memory that all workers' reports read, one place for each worker. */
struct publish_counters {
    uint64_t *requests; /* that published rows */
    uint64_t *rows;
};

/* Returns NULL with *error when memory or descriptors are out. The counters must outlive it. */
struct publish_endpoint *publish_endpoint_new(const struct request_endpoint_config *config,
                                              struct publish_counters counters,
                                              struct error *error);

/* Answers on the output, at once or when the rows are committed; until then the output is owned
 * here. The rows of a requester that is gone are written all the same. Takes what *request owns;
 * the caller calls request_fini all the same. */
void publish_endpoint_request(struct publish_endpoint *endpoint, struct output *output,
                              struct request *request, const struct request_body *body);

/* Requests that wait for their rows to be written. 0 for NULL. */
size_t publish_endpoint_pending(const struct publish_endpoint *endpoint);

/* After the writer, before the gateway: what is pending was tried once more, and is answered. */
void publish_endpoint_free(struct publish_endpoint *endpoint);

#endif
