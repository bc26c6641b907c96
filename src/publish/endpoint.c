/* endpoint.c - from a POST to rows in the table, and back to an answer; see publish/endpoint.h.
 *
 * Called by serve/serve.c. publish/check.c judges, publish/queue.c writes (on the writer's
 * thread); publish/request_job.c is between them, while the request waits for its commit. */
#include "config.h"

#include "publish/endpoint.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "publish/check.h"

struct publish_endpoint {
    struct request_endpoint base;
    struct publish_counters counters;
};

/* --- answers ------------------------------------------------------------------------- */

static void
answer_ids(struct publish_endpoint *endpoint, struct output *output,
           const struct request_job *pending)
{
    struct buf body = {0};
    for (size_t i = 0; i < pending->job.rows.count; i++)
        buf_printf(&body, "%s\"%" PRId64 "\"", i == 0 ? "{\"ids\":[" : ",",
                   pending->job.ids[i]);
    buf_append_text(&body, "]}\n");
    const struct response response = {
        .status = 201, .content_type = "application/json", .body = buf_slice(&body)};
    if (body.failed)
        output_drop(output);
    else
        request_answer(&endpoint->base, output, &pending->request, &response);
    buf_fini(&body);
}

/* The log has it already, by note_result. */
static void
answer_result(struct publish_endpoint *endpoint, struct output *output,
              const struct request_job *pending)
{
    struct response response = {.status = 500,
                                .text = "the rows could not be stored: see rowcast's log"};
    switch (pending->job.result) {
    case PUBLISH_DONE:
        answer_ids(endpoint, output, pending);
        return;
    case PUBLISH_BUSY:
        response.status = 503;
        response.text = "the database is locked or being reopened, nothing was stored: try "
                        "again";
        break;
    case PUBLISH_REFUSED:
        response.status = 400;
        response.text = pending->job.error.text;
        break;
    case PUBLISH_FAILED:
        break;
    }
    request_answer(&endpoint->base, output, &pending->request, &response);
}

/* --- what the log and the counters get ----------------------------------------------- */

/* Who, from where and which ids; never what. */
static void
note_result(struct publish_endpoint *endpoint, const struct request_job *pending)
{
    const struct publish_job *job = &pending->job;
    const struct log *log = endpoint->base.config.log;
    char user[64];
    char address[64];
    char why[ERROR_TEXT_MAX];
    log_quote(user, sizeof user, pending->request.filter.user);
    log_quote(address, sizeof address, pending->request.address);
    if (job->result != PUBLISH_DONE) {
        log_line(log, job->result == PUBLISH_FAILED ? LOG_ERROR : LOG_WARN,
                 "publish failed user=%s address=%s rows=%zu why=%s", user, address,
                 job->rows.count, log_quote(why, sizeof why, job->error.text));
        return;
    }
    ++*endpoint->counters.requests;
    *endpoint->counters.rows += job->rows.count;
    log_line(log, LOG_INFO,
             "publish user=%s address=%s rows=%zu first=%" PRId64 " last=%" PRId64, user,
             address, job->rows.count, job->ids[0], job->ids[job->rows.count - 1]);
}

/* --- a request ------------------------------------------------------------------------ */

static void
on_written(void *arg, struct publish_job *job)
{
    struct publish_endpoint *endpoint = arg;
    struct request_job *pending = (struct request_job *)(void *)job; /* its first member */
    struct output *output = request_job_leave(pending);
    note_result(endpoint, pending);
    if (output != NULL)
        answer_result(endpoint, output, pending);
    publish_rows_fini(&job->rows);
    request_fini(&pending->request);
    free(job->ids);
    free(pending);
}

static void
submit(struct publish_endpoint *endpoint, struct output *output, struct request *request,
       struct publish_rows *rows)
{
    struct request_job *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        request_refuse(&endpoint->base, output, request, REQUEST_JOB_FULL);
        publish_rows_fini(rows);
        return;
    }
    request_job_take(pending, output, request);
    pending->job.rows = *rows;
    if (request_job_submit(pending, &endpoint->base) == 0)
        return;
    request_refuse(&endpoint->base, output, &pending->request, REQUEST_JOB_FULL);
    publish_rows_fini(&pending->job.rows);
    request_fini(&pending->request);
    free(pending);
}

void
publish_endpoint_request(struct publish_endpoint *endpoint, struct output *output,
                         struct request *request, const struct request_body *body)
{
    struct publish_rules rules = {endpoint->base.config.origins, clock_unix_ms()};
    struct publish_rows rows;
    struct error error = {""};
    int status = publish_judge(request, &rules, body, &rows, &error);
    if (status == 0) {
        submit(endpoint, output, request, &rows);
        return;
    }
    request_refuse(&endpoint->base, output, request,
                   (struct request_refusal){status, error.text});
    publish_rows_fini(&rows);
}

size_t
publish_endpoint_pending(const struct publish_endpoint *endpoint)
{
    return endpoint == NULL ? 0 : publish_queue_pending(endpoint->base.queue);
}

/* --- life ---------------------------------------------------------------------------- */

struct publish_endpoint *
publish_endpoint_new(const struct request_endpoint_config *config,
                     struct publish_counters counters, struct error *error)
{
    struct publish_endpoint *endpoint = calloc(1, sizeof *endpoint);
    const struct publish_queue_owner owner = {.done = on_written, .arg = endpoint};
    if (endpoint == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    endpoint->counters = counters;
    if (request_endpoint_init(&endpoint->base, config, &owner, error) == 0)
        return endpoint;
    free(endpoint);
    return NULL;
}

void
publish_endpoint_free(struct publish_endpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    request_endpoint_fini(&endpoint->base);
    free(endpoint);
}
