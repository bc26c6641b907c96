/* endpoint.h - a POST's way: judged, written off the loop, answered.
 *
 * serve/serve.c hands over the request with its output; nothing here waits. */
#ifndef ROWCAST_PUBLISH_ENDPOINT_H
#define ROWCAST_PUBLISH_ENDPOINT_H

#include <uv.h>

#include "fastcgi/gateway.h"
#include "base/text_list.h"
#include "http/request.h"
#include "limits/refusal_log.h"
#include "publish/writer.h"

struct publish_endpoint;

/* Where it counts: in memory that all workers' reports read, one place for each worker. */
struct publish_counters {
    uint64_t *requests; /* that published rows */
    uint64_t *rows;
};

struct publish_endpoint_config {
    struct writer *writer; /* not started yet; see publish_queue_new */
    const struct text_list *origins; /* --cors-origin */
    struct publish_counters counters;
    struct refusal_log *refusal_log; /* for the log */
    const struct log *log;
};

/* Returns NULL with *error when out of memory. All that config points to but the writer, which is
 * freed before, must outlive it. */
struct publish_endpoint *publish_endpoint_new(uv_loop_t *loop,
                                              const struct publish_endpoint_config *config,
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
