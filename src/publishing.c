/* publishing.c - from a POST to rows in the table, and back to an answer; see publishing.h.
 *
 * Called by serve.c. publish.c judges, publisher.c writes. What is between them, one for each
 * request that waits for its commit, is `struct pending`. */
#include "config.h"

#include "publishing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "answer.h"
#include "publish.h"
#include "publisher.h"

struct publishing {
    uv_loop_t *loop;
    struct publishing_config config;
    struct publisher *publisher;
    struct buf answer;
};

struct pending {
    struct publisher_job job;
    struct publishing *publishing;
    struct wire *wire; /* NULL: the requester is gone */
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

/* --- answers --------------------------------------------------------------------------------- */

static void
send_answer(struct publishing *publishing, struct wire *wire)
{
    if (publishing->answer.failed)
        wire->ops->drop(wire);
    else
        wire_answer(wire, buf_slice(&publishing->answer));
}

static void
answer_text(struct publishing *publishing, struct wire *wire, const struct request *request,
            int status, const char *text)
{
    buf_clear(&publishing->answer);
    answer_append_text(&publishing->answer, status, text, request,
                       publishing->config.origins);
    send_answer(publishing, wire);
}

static void
answer_ids(struct publishing *publishing, struct wire *wire, const struct pending *pending)
{
    struct buf body = {0};
    for (size_t i = 0; i < pending->job.rows.count; i++)
        buf_printf(&body, "%s\"%" PRId64 "\"", i == 0 ? "{\"ids\":[" : ",",
                   pending->job.ids[i]);
    buf_append_text(&body, "]}\n");
    buf_clear(&publishing->answer);
    answer_append_body(&publishing->answer, 201, "application/json", buf_slice(&body),
                       &pending->request, publishing->config.origins);
    if (body.failed)
        wire->ops->drop(wire);
    else
        send_answer(publishing, wire);
    buf_fini(&body);
}

static void
answer_result(struct publishing *publishing, struct wire *wire,
              const struct pending *pending)
{
    const struct request *request = &pending->request;
    switch (pending->job.result) {
    case PUBLISHER_DONE:
        answer_ids(publishing, wire, pending);
        break;
    case PUBLISHER_BUSY:
        answer_text(
            publishing, wire, request, 503,
            "another writer has the database locked, nothing was stored: try again");
        break;
    case PUBLISHER_REFUSED:
        answer_text(publishing, wire, request, 400, pending->job.error.text);
        break;
    case PUBLISHER_FAILED:
        answer_text(publishing, wire, request, 500,
                    "the rows could not be stored: see rowcast's log");
        break;
    }
}

/* --- what the log and the counters get ---------------------------------------------------------- */

/* Who, from where and which ids; never what. */
static void
note_result(struct publishing *publishing, const struct pending *pending)
{
    const struct publisher_job *job = &pending->job;
    const struct log *log = publishing->config.log;
    char user[64];
    char address[64];
    char why[ERROR_TEXT_MAX];
    log_quote(user, sizeof user, pending->request.filter.user);
    log_quote(address, sizeof address, pending->request.address);
    if (job->result != PUBLISHER_DONE) {
        log_line(log, job->result == PUBLISHER_FAILED ? LOG_ERROR : LOG_WARN,
                 "publish failed user=%s address=%s rows=%zu why=%s", user, address,
                 job->rows.count, log_quote(why, sizeof why, job->error.text));
        return;
    }
    publishing->config.counters->publishes++;
    publishing->config.counters->published += job->rows.count;
    log_line(log, LOG_INFO,
             "publish user=%s address=%s rows=%zu first=%" PRId64 " last=%" PRId64, user,
             address, job->rows.count, job->ids[0], job->ids[job->rows.count - 1]);
}

/* Sent away at once: the rows were not tried. */
static void
refuse(struct publishing *publishing, struct wire *wire, const struct request *request,
       struct refusal refusal)
{
    const struct refused refused = {refusal.status, request->filter.user, request->address,
                                    refusal.why};
    refusals_note(publishing->config.refusals, &refused, uv_now(publishing->loop));
    answer_text(publishing, wire, request, refusal.status, refusal.why);
}

/* --- pending ---------------------------------------------------------------------------------- */

static void
pending_free(struct pending *pending)
{
    publish_rows_fini(&pending->job.rows);
    request_fini(&pending->request);
    free(pending->job.ids);
    free(pending);
}

/* The wire is given back, or gone. */
static struct wire *
pending_leave_wire(struct pending *pending)
{
    struct wire *wire = pending->wire;
    pending->wire = NULL;
    if (wire != NULL) {
        wire->reader = NULL;
        wire->publishes = false;
    }
    return wire;
}

static void
on_written(void *arg, struct publisher_job *job)
{
    struct publishing *publishing = arg;
    struct pending *pending = (struct pending *)(void *)job; /* its first member */
    struct wire *wire = pending_leave_wire(pending);
    note_result(publishing, pending);
    if (wire != NULL)
        answer_result(publishing, wire, pending);
    pending_free(pending);
}

static struct pending *
pending_new(struct publishing *publishing, struct wire *wire, struct request *request,
            struct publish_rows *rows)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        return NULL;
    pending->publishing = publishing;
    pending->wire = wire;
    pending->request = *request;
    pending->request.post = (struct request_post){NULL, NULL, NULL, NULL, NULL};
    pending->job.rows = *rows;
    return pending;
}

void
publishing_request(struct publishing *publishing, struct wire *wire,
                   struct request *request, const struct intake_body *body)
{
    struct publish_rules rules = {publishing->config.origins, now_ms()};
    struct publish_rows rows;
    struct error error = {""};
    int status = publish_judge(request, &rules, body, &rows, &error);
    if (status != 0) {
        refuse(publishing, wire, request, (struct refusal){status, error.text});
        publish_rows_fini(&rows);
        return;
    }
    struct pending *pending = pending_new(publishing, wire, request, &rows);
    /* What came in on the last descriptor is not to wait on it. */
    if (pending == NULL || wire->over_limit ||
        publisher_submit(publishing->publisher, &pending->job) != 0) {
        refuse(
            publishing, wire, request,
            (struct refusal){503, "too many requests are waiting to be stored: try again"});
        free(pending);
        publish_rows_fini(&rows);
        return;
    }
    *request = (struct request){.method = METHOD_POST};
    wire->reader = pending;
    wire->publishes = true;
}

/* --- the gateway's words ------------------------------------------------------------------------- */

/* Only an answer of the protocol itself can have been left over. */
void
publishing_wire_writable(struct wire *wire)
{
    switch (wire_flush(wire)) {
    case WIRE_SENT:
        wire->ops->want_write(wire, false);
        break;
    case WIRE_BLOCKED:
        break;
    case WIRE_GONE:
        pending_leave_wire(wire->reader);
        wire->ops->drop(wire);
        break;
    }
}

void
publishing_wire_gone(struct wire *wire, enum gone_why why)
{
    pending_leave_wire(wire->reader);
    if (why == GONE_CLOSED)
        return;
    if (wire_end(wire) == WIRE_GONE)
        wire->ops->drop(wire);
    else
        wire->ops->release(wire);
}

size_t
publishing_pending(const struct publishing *publishing)
{
    return publishing == NULL ? 0 : publisher_pending(publishing->publisher);
}

/* --- life --------------------------------------------------------------------------------------- */

struct publishing *
publishing_new(uv_loop_t *loop, const struct publishing_config *config, struct error *error)
{
    struct store_config store = {.path = config->db, .table = config->table};
    struct publishing *publishing = calloc(1, sizeof *publishing);
    if (publishing == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    publishing->loop = loop;
    publishing->config = *config;
    publishing->publisher = publisher_new(loop, &store, on_written, publishing, error);
    if (publishing->publisher != NULL)
        return publishing;
    free(publishing);
    return NULL;
}

void
publishing_free(struct publishing *publishing)
{
    if (publishing == NULL)
        return;
    publisher_free(publishing->publisher);
    buf_fini(&publishing->answer);
    free(publishing);
}
