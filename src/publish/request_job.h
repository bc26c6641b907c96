/* request_job.h - what the endpoints that write have in common (publish/endpoint.c,
 * people/read_marks.c, push/endpoint.c): how they answer, and a request that waits for the writer.
 *
 * On the loop's thread, except job.write. */
#ifndef ROWCAST_PUBLISH_REQUEST_JOB_H
#define ROWCAST_PUBLISH_REQUEST_JOB_H

#include <uv.h>

#include "base/log.h"
#include "base/text_list.h"
#include "fastcgi/output.h"
#include "http/request.h"
#include "http/response.h"
#include "limits/refusal_log.h"
#include "publish/queue.h"
#include "publish/writer.h"

/* All that it points to but the writer must outlive the endpoint. */
struct request_endpoint_config {
    uv_loop_t *loop;
    struct writer *writer;           /* not started yet; freed before the endpoint */
    const struct text_list *origins; /* --cors-origin */
    struct refusal_log *refusal_log;
    const struct log *log;
};

/* A member of each endpoint. */
struct request_endpoint {
    struct request_endpoint_config config;
    struct publish_queue *queue;
    struct buf answer; /* being made */
};

/* Copies *config. Returns 0, or -1 with *error when memory or descriptors are out; then there is
 * nothing to free. */
int request_endpoint_init(struct request_endpoint *endpoint,
                          const struct request_endpoint_config *config,
                          const struct publish_queue_owner *owner, struct error *error);

/* After the writer, before the gateway: answers what is pending, which the writer has tried once
 * more. */
void request_endpoint_fini(struct request_endpoint *endpoint);

/* Sends the response; the caller forgets the output. */
void request_answer(struct request_endpoint *endpoint, struct output *output,
                    const struct request *request, const struct response *response);

struct request_refusal {
    int status;
    const char *why;
};

/* The same, and a line in the log of refusals. */
void request_refuse(struct request_endpoint *endpoint, struct output *output,
                    const struct request *request, struct request_refusal refusal);

/* The first member of what an endpoint allocates for a request. */
struct request_job {
    struct publish_job job; /* the first member */
    struct output *output;  /* NULL: the requester is gone; the job is done all the same */
    struct request request;
};

/* Takes what *request owns, and leaves it empty. */
void request_job_take(struct request_job *job, struct output *output,
                      struct request *request);

/* Hands the job to the writer, without the variables of the POST, which are the caller's, and owns
 * the output until request_job_leave. Returns 0, or -1 if too many wait, or the output is on
 * the last descriptor, which a wait would block: the caller answers with REQUEST_JOB_FULL. */
int request_job_submit(struct request_job *job, struct request_endpoint *endpoint);

#define REQUEST_JOB_FULL                                                                   \
    ((struct request_refusal){503, "too many requests are waiting to be stored: try "      \
                                   "again"})

/* The output, to be answered; NULL: the requester is gone. */
struct output *request_job_leave(struct request_job *job);

#endif
