/* request_job.h - a request that waits for the writer: its job, its output, and its answer.
 *
 * Each endpoint that writes (publish/endpoint.c, people/read_marks.c, push/endpoint.c) embeds it as
 * the first member of what it allocates. On the loop's thread, except job.write. */
#ifndef ROWCAST_PUBLISH_REQUEST_JOB_H
#define ROWCAST_PUBLISH_REQUEST_JOB_H

#include <uv.h>

#include "base/text_list.h"
#include "fastcgi/output.h"
#include "http/request.h"
#include "http/response.h"
#include "limits/refusal_log.h"
#include "publish/queue.h"

/* How an endpoint answers. */
struct request_answers {
    uv_loop_t *loop;
    const struct text_list *origins; /* --cors-origin */
    struct refusal_log *refusal_log;
    struct buf buf; /* buf_fini it */
};

/* Sends the response; the caller forgets the output. */
void request_answer(struct request_answers *answers, struct output *output,
                    const struct request *request, const struct response *response);

struct request_refusal {
    int status;
    const char *why;
};

/* The same, and a line in the log of refusals. */
void request_refuse(struct request_answers *answers, struct output *output,
                    const struct request *request, struct request_refusal refusal);

struct request_job {
    struct publish_job job; /* the first member */
    struct output *output;  /* NULL: the requester is gone; the job is done all the same */
    struct request request;
};

/* Takes what *request owns, and leaves it empty. */
void request_job_take(struct request_job *job, struct output *output,
                      struct request *request);

/* Hands the job to the queue, without the variables of the POST, which are the caller's, and owns
 * the output until request_job_leave. Returns 0, or -1 if too many wait, or the output is on
 * the last descriptor, which a wait would block: the caller answers with REQUEST_JOB_FULL. */
int request_job_submit(struct request_job *job, struct publish_queue *queue);

#define REQUEST_JOB_FULL                                                                   \
    ((struct request_refusal){503, "too many requests are waiting to be stored: try "      \
                                   "again"})

/* The output, to be answered; NULL: the requester is gone. */
struct output *request_job_leave(struct request_job *job);

#endif
