/* endpoint.c - from a POST or DELETE to the table rowcast_push; see push/endpoint.h.
 *
 * The flow of a subscription: rate, origin and body (as publish/check.c has them), the JSON
 * (push/subscription.c), the endpoint (push/hosts.c), the channels against the requester's bounds
 * (access/access.c), then a job for the writer (push/table.c). The bounds are stored with it. */
#include "config.h"

#include "push/endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "access/access.h"
#include "base/clock.h"
#include "limits/address.h"
#include "limits/token_bucket.h"
#include "publish/check.h"
#include "push/hosts.h"
#include "push/subscription.h"
#include "push/table.h"

#define ADDRESS_TEXT 64

struct push_endpoint {
    struct request_endpoint base;
    struct push_endpoint_config config;
    struct token_rate rate;
};

/* While it waits the writer's thread reads it, and the loop leaves it alone. */
struct pending {
    struct request_job base; /* the first member */
    const struct push_endpoint_config *config;
    struct push_wish wish;
    struct buf channels, bounds, ticket_bounds; /* JSON, NUL-terminated */
    char address[ADDRESS_TEXT];
    int64_t now_ms;
    enum push_put put; /* out */
};

/* --- answers ------------------------------------------------------------------------ */

static void
answer_key(struct push_endpoint *endpoint, struct output *output,
           const struct request *request)
{
    struct buf body = {0};
    buf_printf(&body, "{\"public_key\":\"%s\"}\n", endpoint->config.public_key);
    const struct response response = {
        .status = 200, .content_type = "application/json", .body = buf_slice(&body)};
    request_answer(&endpoint->base, output, request, &response);
    buf_fini(&body);
}

static void
answer_done(struct push_endpoint *endpoint, struct output *output,
            const struct pending *pending)
{
    struct buf body = {0};
    bool ends = pending->base.request.method == METHOD_DELETE;
    if (ends)
        buf_append_text(&body, "{\"subscribed\":false}\n");
    else
        buf_printf(&body, "{\"subscribed\":true,\"channels\":%s}\n", pending->channels.p);
    const struct response response = {.status = ends ? 200 : 201,
                                      .content_type = "application/json",
                                      .body = buf_slice(&body)};
    request_answer(&endpoint->base, output, &pending->base.request, &response);
    buf_fini(&body);
}

static void
answer_result(struct push_endpoint *endpoint, struct output *output,
              const struct pending *pending)
{
    static const struct request_refusal busy = {
        503, "the database is locked or being reopened: try again"};
    static const struct request_refusal failed = {
        500, "the subscription could not be stored: see rowcast's log"};
    static const struct request_refusal full[] = {
        [PUSH_USER_FULL] = {403, "this user has as many subscriptions as one may have: end "
                                 "one of them first"},
        [PUSH_ADDRESS_FULL] = {403,
                               "this address has as many subscriptions as one may have"},
        [PUSH_ALL_FULL] = {503,
                           "the server has as many subscriptions as --max-push allows"}};
    switch (pending->base.job.result) {
    case PUBLISH_DONE:
        if (pending->put == PUSH_PUT)
            answer_done(endpoint, output, pending);
        else
            request_refuse(&endpoint->base, output, &pending->base.request,
                           full[pending->put]);
        break;
    case PUBLISH_BUSY:
        request_refuse(&endpoint->base, output, &pending->base.request, busy);
        break;
    case PUBLISH_REFUSED:
    case PUBLISH_FAILED:
        request_refuse(&endpoint->base, output, &pending->base.request, failed);
        break;
    }
}

/* Who, from where; of the endpoint, which is a secret, host and hash. */
static void
note_result(const struct push_endpoint *endpoint, const struct pending *pending)
{
    const struct publish_job *job = &pending->base.job;
    char user[64], address[64], ref[PUSH_REF_MAX], why[ERROR_TEXT_MAX];
    const char *what = pending->base.request.method == METHOD_DELETE ? "push unsubscribe"
                                                                     : "push subscribe";
    log_quote(user, sizeof user, pending->base.request.filter.user);
    log_quote(address, sizeof address, pending->base.request.address);
    push_endpoint_ref(ref, pending->wish.endpoint);
    if (job->result == PUBLISH_DONE && pending->put == PUSH_PUT)
        log_line(endpoint->base.config.log, LOG_INFO, "%s user=%s address=%s endpoint=%s", what,
                 user, address, ref);
    else if (job->result == PUBLISH_FAILED || job->result == PUBLISH_REFUSED)
        log_line(endpoint->base.config.log, LOG_ERROR,
                 "%s failed user=%s address=%s endpoint=%s why=%s", what, user, address,
                 ref, log_quote(why, sizeof why, job->error.text));
}

/* --- pending ------------------------------------------------------------------------ */

static void
pending_free(struct pending *pending)
{
    request_fini(&pending->base.request);
    push_wish_fini(&pending->wish);
    buf_fini(&pending->channels);
    buf_fini(&pending->bounds);
    buf_fini(&pending->ticket_bounds);
    free(pending);
}

static void
on_written(void *arg, struct publish_job *job)
{
    struct push_endpoint *endpoint = arg;
    struct pending *pending = (struct pending *)(void *)job; /* its first member */
    struct output *output = request_job_leave(&pending->base);
    note_result(endpoint, pending);
    if (output != NULL)
        answer_result(endpoint, output, pending);
    pending_free(pending);
}

/* --- the writer's thread ------------------------------------------------------------ */

static const char *
text_or_null(const struct buf *buf)
{
    return buf->len == 0 ? NULL : buf->p;
}

static enum store_result
write_put(struct publish_job *job, struct store *store, struct error *error)
{
    struct pending *pending = (struct pending *)(void *)job;
    const struct push_endpoint_config *config = pending->config;
    const struct push_wish *wish = &pending->wish;
    const struct push_entry entry = {
        .endpoint = wish->endpoint,
        .user = pending->base.request.filter.user,
        .channels = pending->channels.p,
        .bounds = text_or_null(&pending->bounds),
        .ticket_bounds = text_or_null(&pending->ticket_bounds),
        .p256dh = wish->p256dh,
        .auth = wish->auth,
        .vapid_key = config->public_key,
        .page = wish->page,
        .address = pending->address[0] != '\0' ? pending->address : NULL,
        .absent = wish->absent,
        .now_ms = pending->now_ms,
        .expires_at = wish->expires_at,
        .max_of_user = config->max_per_user,
        .max_of_address = config->max_per_address,
        .max_of_all = config->max_of_all};
    return push_table_put(store, &entry, &pending->put, error);
}

static enum store_result
write_remove(struct publish_job *job, struct store *store, struct error *error)
{
    const struct pending *pending = (const struct pending *)(const void *)job;
    return push_table_remove(store, pending->wish.endpoint, error);
}

/* --- judging ------------------------------------------------------------------------ */

/* A subscriber's address as it is counted: see limits/address.h. */
static void
write_address(char out[ADDRESS_TEXT], const char *address)
{
    unsigned char bytes[ADDRESS_BYTES_MAX];
    struct slice subscriber;
    out[0] = '\0';
    if (address == NULL)
        return;
    address_find_subscriber(address, bytes, &subscriber);
    const unsigned char *b = bytes;
    bool is_ours = (const unsigned char *)subscriber.p == bytes;
    if (is_ours && subscriber.len == 4)
        snprintf(out, ADDRESS_TEXT, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    else if (is_ours && subscriber.len == 8)
        snprintf(out, ADDRESS_TEXT, "%x:%x:%x:%x::/64", b[0] << 8 | b[1], b[2] << 8 | b[3],
                 b[4] << 8 | b[5], b[6] << 8 | b[7]);
    else
        snprintf(out, ADDRESS_TEXT, "%.*s", (int)subscriber.len, subscriber.p);
}

static int
check_rate(struct push_endpoint *endpoint, struct request *request, struct error *error)
{
    if (request->address == NULL)
        return 0;
    uint64_t key = limits_hash_address(&endpoint->rate.key, request->address);
    request->too_often_ms = token_bucket_take(&endpoint->rate.buckets, key,
                                              uv_now(endpoint->base.config.loop));
    if (request->too_often_ms == 0)
        return 0;
    error_set(error, "too many subscriptions from this address: wait");
    return 429;
}

static int
check_body(const struct request *request, const struct request_body *body,
           struct error *error)
{
    enum publish_type type = PUBLISH_FORM;
    int status = publish_check_body(request, body, &type, error);
    if (status != 0 || type == PUBLISH_JSON)
        return status;
    error_set(error, "send Content-Type: application/json");
    return 415;
}

/* JSON with a NUL behind it, for SQL. */
static void
write_bound(struct buf *buf, const struct filter *filter, enum filter_bound bound)
{
    if (!filter->bounded[bound])
        return;
    push_patterns_append(buf, &filter->bounds[bound]);
    buf_append(buf, "", 1);
}

/* What is stored, within the requester's bounds. */
static int
fill(struct pending *pending, struct error *error)
{
    struct request *request = &pending->base.request;
    push_patterns_append(&pending->channels, &pending->wish.channels);
    buf_append(&pending->channels, "", 1);
    write_bound(&pending->bounds, &request->filter, FILTER_BOUND_LOCATION);
    write_bound(&pending->ticket_bounds, &request->filter, FILTER_BOUND_TICKET);
    write_address(pending->address, request->address);
    if (pending->channels.failed || pending->bounds.failed ||
        pending->ticket_bounds.failed) {
        error_set(error, "out of memory");
        return 503;
    }
    request->filter.requested = pending->wish.channels;
    pending->wish.channels = (struct patterns){0};
    return access_check_channels(request, error);
}

static int
judge(struct push_endpoint *endpoint, struct pending *pending,
      const struct request_body *body, struct error *error)
{
    struct request *request = &pending->base.request;
    struct push_origin origin;
    enum push_wish_kind kind =
        request->method == METHOD_POST ? PUSH_SUBSCRIBES : PUSH_UNSUBSCRIBES;
    int status = check_rate(endpoint, request, error);
    if (status == 0)
        status = publish_check_origin(request, endpoint->base.config.origins, error);
    if (status == 0)
        status = check_body(request, body, error);
    if (status == 0)
        status = push_wish_parse(&pending->wish, buf_slice(&body->bytes), kind, error);
    if (status != 0 || kind == PUSH_UNSUBSCRIBES)
        return status;
    if (push_endpoint_check(pending->wish.endpoint, endpoint->config.hosts, &origin,
                            error) != 0)
        return 400;
    return fill(pending, error);
}

static int
submit(struct push_endpoint *endpoint, struct pending *pending, struct error *error)
{
    pending->base.job.write =
        pending->base.request.method == METHOD_POST ? write_put : write_remove;
    if (request_job_submit(&pending->base, &endpoint->base) == 0)
        return 0;
    error_set(error, "%s", REQUEST_JOB_FULL.why);
    return REQUEST_JOB_FULL.status;
}

static void
change(struct push_endpoint *endpoint, struct output *output, struct request *request,
       const struct request_body *body)
{
    struct error error = {"out of memory"};
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        request_refuse(&endpoint->base, output, request,
                       (struct request_refusal){503, error.text});
        return;
    }
    pending->config = &endpoint->config;
    pending->now_ms = clock_unix_ms();
    request_job_take(&pending->base, output, request);
    int status = judge(endpoint, pending, body, &error);
    if (status == 0)
        status = submit(endpoint, pending, &error);
    if (status == 0)
        return;
    request_refuse(&endpoint->base, output, &pending->base.request,
                   (struct request_refusal){status, error.text});
    pending_free(pending);
}

void
push_endpoint_request(struct push_endpoint *endpoint, struct output *output,
                      struct request *request, const struct request_body *body)
{
    if (request->method == METHOD_POST || request->method == METHOD_DELETE)
        change(endpoint, output, request, body);
    else
        answer_key(endpoint, output, request);
}

size_t
push_endpoint_pending(const struct push_endpoint *endpoint)
{
    return endpoint == NULL ? 0 : publish_queue_pending(endpoint->base.queue);
}

/* --- life --------------------------------------------------------------------------- */

struct push_endpoint *
push_endpoint_new(const struct request_endpoint_config *base,
                  const struct push_endpoint_config *config, struct error *error)
{
    struct push_endpoint *endpoint = calloc(1, sizeof *endpoint);
    const struct publish_queue_owner owner = {.done = on_written, .arg = endpoint};
    if (endpoint == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    endpoint->config = *config;
    if (token_rate_init(&endpoint->rate, PUSH_REQUEST_EVERY_MS, PUSH_REQUESTS_AT_ONCE,
                        error) == 0 &&
        request_endpoint_init(&endpoint->base, base, &owner, error) == 0)
        return endpoint;
    free(endpoint);
    return NULL;
}

void
push_endpoint_free(struct push_endpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    request_endpoint_fini(&endpoint->base);
    free(endpoint);
}
