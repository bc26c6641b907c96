/* endpoint.c - from a POST to rows in the table, and back to an answer; see publish/endpoint.h.
 *
 * Called by serve/serve.c. publish/check.c judges, publish/queue.c writes (on the writer's
 * thread). What is between them, one for each request that waits for its commit, is `struct
 * pending`. */
#include "config.h"

#include "publish/endpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "http/response.h"
#include "publish/check.h"
#include "publish/queue.h"

struct publish_endpoint {
    uv_loop_t *loop;
    struct publish_endpoint_config config;
    struct publish_queue *queue;
    struct buf answer;
};

struct pending {
    struct publish_job job;
    struct publish_endpoint *endpoint;
    struct output *output; /* NULL: the requester is gone */
    struct request request;
};

struct refusal {
    int status;
    const char *why;
};

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- answers ------------------------------------------------------------------------- */

static void
send_answer(struct publish_endpoint *endpoint, struct output *output)
{
    if (endpoint->answer.failed)
        output_drop(output);
    else
        output_answer(output, buf_slice(&endpoint->answer));
}

static void
answer_refusal(struct publish_endpoint *endpoint, struct output *output,
               const struct request *request, const struct refusal *refusal)
{
    const struct response response = {.status = refusal->status, .text = refusal->why};
    buf_clear(&endpoint->answer);
    response_append(&endpoint->answer, &response, request, endpoint->config.origins);
    send_answer(endpoint, output);
}

static void
answer_ids(struct publish_endpoint *endpoint, struct output *output,
           const struct pending *pending)
{
    struct buf body = {0};
    for (size_t i = 0; i < pending->job.rows.count; i++)
        buf_printf(&body, "%s\"%" PRId64 "\"", i == 0 ? "{\"ids\":[" : ",",
                   pending->job.ids[i]);
    buf_append_text(&body, "]}\n");
    const struct response response = {
        .status = 201, .content_type = "application/json", .body = buf_slice(&body)};
    buf_clear(&endpoint->answer);
    response_append(&endpoint->answer, &response, &pending->request,
                    endpoint->config.origins);
    if (body.failed)
        output_drop(output);
    else
        send_answer(endpoint, output);
    buf_fini(&body);
}

static void
answer_result(struct publish_endpoint *endpoint, struct output *output,
              const struct pending *pending)
{
    static const struct refusal busy = {
        503, "the database is locked or being reopened, nothing was stored: try again"};
    static const struct refusal failed = {
        500, "the rows could not be stored: see rowcast's log"};
    const struct refusal refused = {400, pending->job.error.text};
    switch (pending->job.result) {
    case PUBLISH_DONE:
        answer_ids(endpoint, output, pending);
        break;
    case PUBLISH_BUSY:
        answer_refusal(endpoint, output, &pending->request, &busy);
        break;
    case PUBLISH_REFUSED:
        answer_refusal(endpoint, output, &pending->request, &refused);
        break;
    case PUBLISH_FAILED:
        answer_refusal(endpoint, output, &pending->request, &failed);
        break;
    }
}

/* --- what the log and the counters get ----------------------------------------------- */

/* Who, from where and which ids; never what. */
static void
note_result(struct publish_endpoint *endpoint, const struct pending *pending)
{
    const struct publish_job *job = &pending->job;
    const struct log *log = endpoint->config.log;
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
    ++*endpoint->config.counters.requests;
    *endpoint->config.counters.rows += job->rows.count;
    log_line(log, LOG_INFO,
             "publish user=%s address=%s rows=%zu first=%" PRId64 " last=%" PRId64, user,
             address, job->rows.count, job->ids[0], job->ids[job->rows.count - 1]);
}

/* Sent away at once: the rows were not tried. */
static void
refuse(struct publish_endpoint *endpoint, struct output *output,
       const struct request *request, struct refusal refusal)
{
    const struct refusal_note refused = {refusal.status, request->filter.user,
                                         request->address, refusal.why};
    refusal_log_note(endpoint->config.refusal_log, &refused, uv_now(endpoint->loop));
    answer_refusal(endpoint, output, request, &refusal);
}

/* --- pending ------------------------------------------------------------------------- */

static void
pending_free(struct pending *pending)
{
    publish_rows_fini(&pending->job.rows);
    request_fini(&pending->request);
    free(pending->job.ids);
    free(pending);
}

/* The output is given back, or gone. */
static struct output *
pending_leave_output(struct pending *pending)
{
    struct output *output = pending->output;
    pending->output = NULL;
    if (output != NULL)
        output_clear_owner(output);
    return output;
}

static void
on_written(void *arg, struct publish_job *job)
{
    struct publish_endpoint *endpoint = arg;
    struct pending *pending = (struct pending *)(void *)job; /* its first member */
    struct output *output = pending_leave_output(pending);
    note_result(endpoint, pending);
    if (output != NULL)
        answer_result(endpoint, output, pending);
    pending_free(pending);
}

/* --- for the connection -------------------------------------------------------------- */

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
        pending_leave_output(output->owner);
        output_drop(output);
        break;
    }
}

static void
on_output_gone(struct output *output, enum gone_reason why)
{
    pending_leave_output(output->owner);
    if (why == GONE_ABORTED)
        output_finish(output);
}

static const struct output_ops pending_ops = {on_output_writable, on_output_gone};

static struct pending *
pending_new(struct publish_endpoint *endpoint, struct output *output,
            struct request *request, struct publish_rows *rows)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        return NULL;
    pending->endpoint = endpoint;
    pending->output = output;
    pending->request = *request;
    pending->request.post = (struct request_post){NULL, NULL, NULL, NULL, NULL};
    pending->job.rows = *rows;
    return pending;
}

void
publish_endpoint_request(struct publish_endpoint *endpoint, struct output *output,
                         struct request *request, const struct request_body *body)
{
    struct publish_rules rules = {endpoint->config.origins, now_ms()};
    struct publish_rows rows;
    struct error error = {""};
    int status = publish_judge(request, &rules, body, &rows, &error);
    if (status != 0) {
        refuse(endpoint, output, request, (struct refusal){status, error.text});
        publish_rows_fini(&rows);
        return;
    }
    struct pending *pending = pending_new(endpoint, output, request, &rows);
    /* What came in on the last descriptor is not to wait on it. */
    if (pending == NULL || output->over_limit ||
        publish_queue_submit(endpoint->queue, &pending->job) != 0) {
        refuse(
            endpoint, output, request,
            (struct refusal){503, "too many requests are waiting to be stored: try again"});
        free(pending);
        publish_rows_fini(&rows);
        return;
    }
    *request = (struct request){.method = METHOD_POST};
    output_set_owner(output, &pending_ops, pending);
}

size_t
publish_endpoint_pending(const struct publish_endpoint *endpoint)
{
    return endpoint == NULL ? 0 : publish_queue_pending(endpoint->queue);
}

/* --- life ---------------------------------------------------------------------------- */

struct publish_endpoint *
publish_endpoint_new(uv_loop_t *loop, const struct publish_endpoint_config *config,
                     struct error *error)
{
    struct publish_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    endpoint->loop = loop;
    endpoint->config = *config;
    endpoint->queue = publish_queue_new(loop, config->writer, on_written, endpoint, error);
    if (endpoint->queue != NULL)
        return endpoint;
    free(endpoint);
    return NULL;
}

void
publish_endpoint_free(struct publish_endpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    publish_queue_free(endpoint->queue);
    buf_fini(&endpoint->answer);
    free(endpoint);
}
