/* request_job.c - see publish/request_job.h. */
#include "config.h"

#include "publish/request_job.h"

/* --- the endpoint ---------------------------------------------------------------------- */

int
request_endpoint_init(struct request_endpoint *endpoint,
                      const struct request_endpoint_config *config,
                      const struct publish_queue_owner *owner, struct error *error)
{
    *endpoint = (struct request_endpoint){.config = *config};
    endpoint->queue = publish_queue_new(config->loop, config->writer, owner, error);
    return endpoint->queue != NULL ? 0 : -1;
}

void
request_endpoint_fini(struct request_endpoint *endpoint)
{
    publish_queue_free(endpoint->queue);
    buf_fini(&endpoint->answer);
}

/* --- answers --------------------------------------------------------------------------- */

void
request_answer(struct request_endpoint *endpoint, struct output *output,
               const struct request *request, const struct response *response)
{
    struct buf *answer = &endpoint->answer;
    buf_clear(answer);
    response_append(answer, response, request, endpoint->config.origins);
    if (answer->failed)
        output_drop(output);
    else
        output_answer(output, buf_slice(answer));
}

void
request_refuse(struct request_endpoint *endpoint, struct output *output,
               const struct request *request, struct request_refusal refusal)
{
    const struct refusal_note note = {refusal.status, request->filter.user,
                                      request->address, refusal.why};
    const struct response response = {.status = refusal.status, .text = refusal.why};
    refusal_log_note(endpoint->config.refusal_log, &note, uv_now(endpoint->config.loop));
    request_answer(endpoint, output, request, &response);
}

/* --- a request that waits --------------------------------------------------------------- */

/* Only an answer of the protocol itself can be pending: ours is not made yet. */
static void
on_output_writable(struct output *output)
{
    switch (output_flush(output)) {
    case OUTPUT_SENT:
        output_disarm(output);
        break;
    case OUTPUT_BLOCKED:
        break;
    case OUTPUT_GONE:
        request_job_leave(output->owner);
        output_drop(output);
        break;
    }
}

static void
on_output_gone(struct output *output, enum gone_reason why)
{
    request_job_leave(output->owner);
    if (why == GONE_ABORTED)
        output_finish(output);
}

void
request_job_take(struct request_job *job, struct output *output, struct request *request)
{
    job->output = output;
    job->request = *request;
    *request = (struct request){.method = job->request.method};
}

int
request_job_submit(struct request_job *job, struct request_endpoint *endpoint)
{
    static const struct output_ops ops = {on_output_writable, on_output_gone};
    job->request.post = (struct request_post){NULL, NULL, NULL, NULL, NULL};
    if (job->output->over_limit || publish_queue_submit(endpoint->queue, &job->job) != 0)
        return -1;
    output_set_owner(job->output, &ops, job);
    return 0;
}

struct output *
request_job_leave(struct request_job *job)
{
    struct output *output = job->output;
    job->output = NULL;
    if (output != NULL)
        output_clear_owner(output);
    return output;
}
