/* read_marks.c - from a POST to a mark in the table, and back to an answer; see
 * people/read_marks.h.
 *
 * The flow: the user's rate, origin and body as publish/check.c has them, the body's fields
 * (people/read_body.c), the channel against the user's bounds, then a job for the writer
 * (people/read_table.c). */
#include "config.h"

#include "people/read_marks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "limits/token_bucket.h"
#include "people/read_body.h"
#include "people/read_table.h"
#include "publish/check.h"

#define MINUTE_MS 60000

struct read_marks {
    struct request_endpoint base;
    uint64_t *moved;
    struct token_rate rate;
};

/* While it waits the writer's thread reads it, and the loop leaves it alone. */
struct pending {
    struct request_job base; /* the first member */
    struct read_body body;
    struct read_move move;
};

/* --- answers ------------------------------------------------------------------------- */

static void
answer_mark(struct read_marks *marks, struct output *output, const struct pending *pending)
{
    struct buf body = {0};
    ++*marks->moved;
    buf_append_text(&body, "{\"channel\":");
    json_append_string(&body, buf_slice(&pending->move.found));
    buf_printf(&body, ",\"id\":\"%" PRId64 "\"}\n", pending->move.mark);
    const struct response response = {
        .status = 200, .content_type = "application/json", .body = buf_slice(&body)};
    if (body.failed)
        output_drop(output);
    else
        request_answer(&marks->base, output, &pending->base.request, &response);
    buf_fini(&body);
}

static struct request_refusal
refusal_of(const struct pending *pending)
{
    static const struct request_refusal verdicts[] = {
        [READ_NO_ROW] = {404, "this user can read no row with that id: give its channel "
                              "where the row is deleted by now"},
        [READ_TOO_HIGH] = {400, "bad field id: no row has had so high an id yet"},
        [READ_NO_TABLE] = {404,
                           "this database has no read marks: run `rowcast init` on it"},
    };
    switch (pending->base.job.result) {
    case PUBLISH_DONE:
        return verdicts[pending->move.verdict];
    case PUBLISH_BUSY:
        return (struct request_refusal){
            503, "the database is locked or being opened again, the mark "
                 "was not stored: try again"};
    case PUBLISH_REFUSED:
        return (struct request_refusal){400, pending->base.job.error.text};
    case PUBLISH_FAILED:
        break;
    }
    return (struct request_refusal){500, "the mark could not be stored: see rowcast's log"};
}

/* --- pending ------------------------------------------------------------------------- */

static void
pending_free(struct pending *pending)
{
    request_fini(&pending->base.request);
    read_body_fini(&pending->body);
    buf_fini(&pending->move.found);
    free(pending);
}

static void
note_failure(const struct read_marks *marks, const struct pending *pending)
{
    char user[64], why[ERROR_TEXT_MAX];
    if (pending->base.job.result == PUBLISH_FAILED)
        log_line(marks->base.config.log, LOG_ERROR, "read mark failed user=%s why=%s",
                 log_quote(user, sizeof user, pending->base.request.filter.user),
                 log_quote(why, sizeof why, pending->base.job.error.text));
}

static void
on_written(void *arg, struct publish_job *job)
{
    struct read_marks *marks = arg;
    struct pending *pending = (struct pending *)(void *)job;
    struct output *output = request_job_leave(&pending->base);
    note_failure(marks, pending);
    if (output != NULL && job->result == PUBLISH_DONE &&
        pending->move.verdict == READ_MOVED)
        answer_mark(marks, output, pending);
    else if (output != NULL)
        request_refuse(&marks->base, output, &pending->base.request,
                       refusal_of(pending));
    pending_free(pending);
}

/* On the writer's thread, once more where the transaction is repeated. */
static enum store_result
write_mark(struct publish_job *job, struct store *store, struct error *error)
{
    struct pending *pending = (struct pending *)(void *)job;
    pending->move.filter = &pending->base.request.filter;
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
    uint64_t key = hash_bytes(&marks->rate.key, user, strlen(user));
    request->too_often_ms =
        token_bucket_take(&marks->rate.buckets, key, uv_now(marks->base.config.loop));
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
    int status = publish_check_origin(request, marks->base.config.origins, error);
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

static void
submit(struct read_marks *marks, struct output *output, struct request *request,
       struct read_body *body)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        request_refuse(&marks->base, output, request, REQUEST_JOB_FULL);
        read_body_fini(body);
        return;
    }
    request_job_take(&pending->base, output, request);
    pending->body = *body;
    pending->base.job.write = write_mark;
    if (request_job_submit(&pending->base, &marks->base) == 0)
        return;
    request_refuse(&marks->base, output, &pending->base.request, REQUEST_JOB_FULL);
    pending_free(pending);
}

void
read_marks_request(struct read_marks *marks, struct output *output, struct request *request,
                   const struct request_body *body)
{
    struct read_body read;
    struct error error = {""};
    int status = judge(marks, request, body, &read, &error);
    if (status == 0) {
        submit(marks, output, request, &read);
        return;
    }
    request_refuse(&marks->base, output, request,
                   (struct request_refusal){status, error.text});
    read_body_fini(&read);
}

size_t
read_marks_pending(const struct read_marks *marks)
{
    return marks == NULL ? 0 : publish_queue_pending(marks->base.queue);
}

/* --- life ---------------------------------------------------------------------------- */

struct read_marks *
read_marks_new(const struct request_endpoint_config *config, uint64_t *moved,
               struct error *error)
{
    static const struct publish_queue_words words = {
        "cannot store read marks, it is tried again", "read marks are stored again"};
    struct read_marks *marks = calloc(1, sizeof *marks);
    const struct publish_queue_owner owner = {on_written, marks, &words};
    if (marks == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    marks->moved = moved;
    if (token_rate_init(&marks->rate, MINUTE_MS / READ_MARKS_A_MINUTE, READ_MARKS_A_MINUTE,
                        error) == 0 &&
        request_endpoint_init(&marks->base, config, &owner, error) == 0)
        return marks;
    free(marks);
    return NULL;
}

void
read_marks_free(struct read_marks *marks)
{
    if (marks == NULL)
        return;
    request_endpoint_fini(&marks->base);
    free(marks);
}
