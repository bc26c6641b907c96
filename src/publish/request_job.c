/* request_job.c - see publish/request_job.h. */
#include "config.h"

#include "publish/request_job.h"

void
request_answer(struct request_answers *answers, struct output *output,
               const struct request *request, const struct response *response)
{
    buf_clear(&answers->buf);
    response_append(&answers->buf, response, request, answers->origins);
    if (answers->buf.failed)
        output_drop(output);
    else
        output_answer(output, buf_slice(&answers->buf));
}

void
request_refuse(struct request_answers *answers, struct output *output,
               const struct request *request, struct request_refusal refusal)
{
    const struct refusal_note note = {refusal.status, request->filter.user,
                                      request->address, refusal.why};
    const struct response response = {.status = refusal.status, .text = refusal.why};
    refusal_log_note(answers->refusal_log, &note, uv_now(answers->loop));
    request_answer(answers, output, request, &response);
}

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
request_job_submit(struct request_job *job, struct publish_queue *queue)
{
    static const struct output_ops ops = {on_output_writable, on_output_gone};
    job->request.post = (struct request_post){NULL, NULL, NULL, NULL, NULL};
    if (job->output->over_limit || publish_queue_submit(queue, &job->job) != 0)
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
