/* read_marks.c - from a POST to a mark in the table, and back to an answer; see
 * people/read_marks.h.
 *
 * The flow: the user's rate, origin and body as publish/check.c has them, the body's fields
 * (people/read_body.c), the channel against the user's bounds, then a job for the writer
 * (people/read_table.c). */
#include "config.h"

#include "people/read_marks.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "http/response.h"
#include "limits/token_bucket.h"
#include "people/read_body.h"
#include "people/read_table.h"
#include "publish/check.h"
#include "publish/queue.h"

#define RATE_SLOTS 1024
#define MINUTE_MS 60000

struct read_marks {
    uv_loop_t *loop;
    struct read_marks_config config;
    struct publish_queue *queue;
    struct hash_key hash_key;
    struct token_buckets rate;
    _Atomic uint64_t rate_slots[RATE_SLOTS];
    struct buf answer;
};

/* A request that waits for the writer. The thread reads it; the loop keeps its hands off. */
struct pending {
    struct publish_job job; /* the first member */
    struct read_marks *marks;
    struct output *output; /* NULL: the requester is gone */
    struct request request;
    struct read_body body;
    struct read_move move;
};

struct refusal {
    int status;
    const char *why;
};

/* --- answers ------------------------------------------------------------------------- */

static void
answer(struct read_marks *marks, struct output *output, const struct request *request,
       const struct response *response)
{
    buf_clear(&marks->answer);
    response_append(&marks->answer, response, request, marks->config.origins);
    if (marks->answer.failed)
        output_drop(output);
    else
        output_answer(output, buf_slice(&marks->answer));
}

static void
refuse(struct read_marks *marks, struct output *output, const struct request *request,
       struct refusal refusal)
{
    const struct refusal_note note = {refusal.status, request->filter.user,
                                      request->address, refusal.why};
    const struct response response = {.status = refusal.status, .text = refusal.why};
    refusal_log_note(marks->config.refusal_log, &note, uv_now(marks->loop));
    answer(marks, output, request, &response);
}

static void
answer_mark(struct read_marks *marks, struct output *output, const struct pending *pending)
{
    struct buf body = {0};
    ++*marks->config.moved;
    buf_append_text(&body, "{\"channel\":");
    json_append_string(&body, buf_slice(&pending->move.found));
    buf_printf(&body, ",\"id\":\"%" PRId64 "\"}\n", pending->move.mark);
    const struct response response = {
        .status = 200, .content_type = "application/json", .body = buf_slice(&body)};
    if (body.failed)
        output_drop(output);
    else
        answer(marks, output, &pending->request, &response);
    buf_fini(&body);
}

static struct refusal
refusal_of(const struct pending *pending)
{
    static const struct refusal verdicts[] = {
        [READ_NO_ROW] = {404, "this user can read no row with that id: give its channel "
                              "where the row is deleted by now"},
        [READ_TOO_HIGH] = {400, "bad field id: no row has had so high an id yet"},
        [READ_NO_TABLE] = {404,
                           "this database has no read marks: run `rowcast init` on it"},
    };
    switch (pending->job.result) {
    case PUBLISH_DONE:
        return verdicts[pending->move.verdict];
    case PUBLISH_BUSY:
        return (struct refusal){503,
                                "the database is locked or being opened again, the mark "
                                "was not stored: try again"};
    case PUBLISH_REFUSED:
        return (struct refusal){400, pending->job.error.text};
    case PUBLISH_FAILED:
        break;
    }
    return (struct refusal){500, "the mark could not be stored: see rowcast's log"};
}

/* --- pending ------------------------------------------------------------------------- */

static void
pending_free(struct pending *pending)
{
    request_fini(&pending->request);
    read_body_fini(&pending->body);
    buf_fini(&pending->move.found);
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
note_failure(const struct read_marks *marks, const struct pending *pending)
{
    char user[64], why[ERROR_TEXT_MAX];
    if (pending->job.result == PUBLISH_FAILED)
        log_line(marks->config.log, LOG_ERROR, "read mark failed user=%s why=%s",
                 log_quote(user, sizeof user, pending->request.filter.user),
                 log_quote(why, sizeof why, pending->job.error.text));
}

static void
on_written(void *arg, struct publish_job *job)
{
    struct read_marks *marks = arg;
    struct pending *pending = (struct pending *)(void *)job;
    struct output *output = pending_leave_output(pending);
    note_failure(marks, pending);
    if (output != NULL && job->result == PUBLISH_DONE &&
        pending->move.verdict == READ_MOVED)
        answer_mark(marks, output, pending);
    else if (output != NULL)
        refuse(marks, output, &pending->request, refusal_of(pending));
    pending_free(pending);
}

/* While it waits nothing is pending on the output but replies of the protocol's own. */
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

/* On the writer's thread, once more where the transaction is repeated. */
static enum store_result
write_mark(struct publish_job *job, struct store *store, struct error *error)
{
    struct pending *pending = (struct pending *)(void *)job;
    pending->move.filter = &pending->request.filter;
    pending->move.channel = pending->body.channel;
    pending->move.id = pending->body.id;
    return read_table_move(store, &pending->move, error);
}

/* --- requests ------------------------------------------------------------------------ */

static int
check_user(struct read_marks *marks, struct request *request, struct error *error)
{
    const char *user = request->filter.user;
    if (user == NULL) {
        error_set(error, "only a user with a name has read marks: the web server must set "
                         "REMOTE_USER, or a ticket must have sub");
        return 403;
    }
    uint64_t key = hash_bytes(&marks->hash_key, user, strlen(user));
    request->too_often_ms = token_bucket_take(&marks->rate, key, uv_now(marks->loop));
    if (request->too_often_ms == 0)
        return 0;
    error_set(error, "too many read marks of this user: wait, and send the newest one");
    return 429;
}

static int
check_channel(const struct request *request, const struct read_body *body,
              struct error *error)
{
    if (body->channel == NULL ||
        filter_bounds_allow(&request->filter, slice_of(body->channel)))
        return 0;
    error_set(error, "that channel may not be read here");
    return 403;
}

/* 0 and *read, or the status of the refusal. */
static int
judge(struct read_marks *marks, struct request *request, const struct request_body *body,
      struct read_body *read, struct error *error)
{
    enum publish_type type = PUBLISH_FORM;
    *read = (struct read_body){0};
    int status = publish_check_origin(request, marks->config.origins, error);
    if (status == 0)
        status = check_user(marks, request, error);
    if (status == 0)
        status = publish_check_body(request, body, &type, error);
    if (status == 0)
        status = read_body_parse(read, type, buf_slice(&body->bytes), error);
    if (status == 0)
        status = check_channel(request, read, error);
    return status;
}

static struct pending *
pending_new(struct read_marks *marks, struct output *output, const struct request *request,
            const struct read_body *body)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        return NULL;
    pending->marks = marks;
    pending->output = output;
    pending->request = *request;
    pending->request.post = (struct request_post){NULL, NULL, NULL, NULL, NULL};
    pending->body = *body;
    pending->job.write = write_mark;
    return pending;
}

void
read_marks_request(struct read_marks *marks, struct output *output, struct request *request,
                   const struct request_body *body)
{
    struct read_body read;
    struct error error = {""};
    int status = judge(marks, request, body, &read, &error);
    if (status != 0) {
        refuse(marks, output, request, (struct refusal){status, error.text});
        read_body_fini(&read);
        return;
    }
    struct pending *pending = pending_new(marks, output, request, &read);
    if (pending == NULL || output->over_limit ||
        publish_queue_submit(marks->queue, &pending->job) != 0) {
        refuse(marks, output, request,
               (struct refusal){503, "too many requests are waiting to be stored: try "
                                     "again"});
        free(pending);
        read_body_fini(&read);
        return;
    }
    *request = (struct request){.method = METHOD_POST};
    output_set_owner(output, &pending_ops, pending);
}

size_t
read_marks_pending(const struct read_marks *marks)
{
    return marks == NULL ? 0 : publish_queue_pending(marks->queue);
}

/* --- life ---------------------------------------------------------------------------- */

struct read_marks *
read_marks_new(uv_loop_t *loop, const struct read_marks_config *config, struct error *error)
{
    static const struct publish_queue_words words = {
        "cannot store read marks, it is tried again", "read marks are stored again"};
    struct read_marks *marks = calloc(1, sizeof *marks);
    if (marks == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    marks->loop = loop;
    marks->config = *config;
    marks->rate = (struct token_buckets){.slots = marks->rate_slots,
                                         .slot_count = RATE_SLOTS,
                                         .interval_ms = MINUTE_MS / READ_MARKS_A_MINUTE,
                                         .depth_ms = MINUTE_MS};
    if (hash_key_make(&marks->hash_key, error) == 0)
        marks->queue =
            publish_queue_new_optional(loop, config->writer, on_written, marks, &words);
    if (marks->queue != NULL)
        return marks;
    error_set(error, "out of memory or descriptors");
    free(marks);
    return NULL;
}

void
read_marks_free(struct read_marks *marks)
{
    if (marks == NULL)
        return;
    publish_queue_free(marks->queue);
    buf_fini(&marks->answer);
    free(marks);
}
