/* dispatch.c - one request's way from the gateway to an answer, or into the hands of those who
 * continue with it: the hub, publishing, the live status.
 *
 * The gateway calls it, through the handlers that serve/serve.c passes. */
#include "config.h"

#include "serve/internal.h"

#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "http/response.h"
#include "feed/feed.h"
#include "hub/hub.h"
#include "limits/limits.h"
#include "people/read_marks.h"
#include "people/revocation_log.h"
#include "publish/endpoint.h"
#include "push/endpoint.h"
#include "serve/report.h"
#include "serve/status_stream.h"

extern char **environ;

/* --- reports ----------------------------------------------------------------------------- */

#define NONCE_TEXT 33

static void
make_nonce(char nonce[NONCE_TEXT])
{
    unsigned char bytes[NONCE_TEXT / 2] = {0};
    uv_random(NULL, NULL, bytes, sizeof bytes, 0, NULL);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
}

static void
answer_report(struct serve *serve, const struct request *request)
{
    struct buf body = {0};
    struct error text;
    char nonce[NONCE_TEXT];
    struct response response = {.status = 200, .content_type = "application/json"};
    switch (request->resource) {
    case RESOURCE_METRICS:
        report_append_metrics(&body, serve->hub, serve->feed);
        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
        break;
    case RESOURCE_STATUS:
        if (request->wants_html) {
            make_nonce(nonce);
            report_append_page(&body, serve->hub, serve->feed, nonce);
            response.content_type = "text/html; charset=utf-8";
            response.nonce = nonce;
            break;
        }
        report_append_status(&body, serve->hub, serve->feed, REPORT_STREAMS_MAX);
        buf_append_text(&body, "\n");
        break;
    case RESOURCE_WHOAMI:
        access_append_whoami(&body, request);
        break;
    case RESOURCE_HEALTH:
    case RESOURCE_READ: /* never comes here */
    case RESOURCE_STREAM:
    case RESOURCE_PUSH: /* never comes here */
        response.status =
            report_health(serve->feed, serve->writer, serve->settings->max_lag_ms, &text);
        if (!request->admin)
            report_hide_folders(&text);
        response.content_type = NULL;
        response.text = text.text;
        response.has_lag = true;
        response.lag_ms = feed_lag_ms(serve->feed);
        break;
    }
    response.body = buf_slice(&body);
    response_append(&serve->answer, &response, request, &serve->settings->cors_origins);
    if (body.failed)
        serve->answer.failed = true;
    buf_fini(&body);
}

/* --- requests ---------------------------------------------------------------------------- */

static bool
env_has(const char *const *envp, const char *name, size_t len)
{
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return true;
    return false;
}

/* The request's params, and what the web server has set for the whole process instead (lighttpd's
 * bin-environment, Environment= of systemd), which a request's own param overrides. Valid until
 * the next call; NULL when out of memory. */
static const char *const *
serve_environment(struct serve *serve, const char *const *params)
{
    static const char *const names[] = {"ROWCAST_CHANNELS", "ROWCAST_ADMIN",
                                        "ROWCAST_PUBLISH"};
    const char *const none = NULL;
    struct buf *list = &serve->environment;
    buf_clear(list);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        for (char *const *own = environ; *own != NULL; own++)
            if (strncmp(*own, names[i], len) == 0 && (*own)[len] == '=' &&
                !env_has(params, names[i], len))
                buf_append(list, own, sizeof *own);
    }
    if (list->len == 0)
        return params;
    for (; *params != NULL; params++)
        buf_append(list, params, sizeof *params);
    buf_append(list, &none, sizeof none);
    return list->failed ? NULL : (const char *const *)(void *)list->p;
}

/* Unix time, which tickets go by. */
static int64_t
serve_now_ms(void)
{
    uv_timeval64_t now = {0};
    uv_gettimeofday(&now);
    return now.tv_sec * 1000 + now.tv_usec / 1000;
}

/* Without --allow-publish POST is a method like any other that is not there. */
static int
check_post(const struct serve *serve, const struct request *request, struct error *error)
{
    if (request->method != METHOD_POST || request->resource != RESOURCE_STREAM ||
        serve->endpoint != NULL)
        return 0;
    error_set(error, "method POST is not allowed here: GET, HEAD and OPTIONS are");
    return 405;
}

static int
check_push(const struct serve *serve, const struct request *request, struct error *error)
{
    if (request->resource != RESOURCE_PUSH || serve->push != NULL)
        return 0;
    error_set(error, "there is no Web Push here: rowcast serve needs --vapid-key-file");
    return 404;
}

static int
check_read(const struct serve *serve, const struct request *request, struct error *error)
{
    if (request->resource != RESOURCE_READ || serve->read_marks != NULL ||
        request->method == METHOD_OPTIONS)
        return 0;
    error_set(error,
              "there are no read marks here: rowcast serve runs with --read-marks off");
    return 404;
}

/* The hub refuses a stream, with status 200: an EventSource gives up for good on any other. All
 * else that comes too often gets a status. */
static int
check_rate(const struct serve *serve, struct request *request, int status,
           struct error *error)
{
    request->too_often_ms =
        limits_visit(serve->worker->limits, request->address, uv_now(&serve->loop));
    bool is_stream = status == 0 && request->resource == RESOURCE_STREAM &&
                     request->method == METHOD_GET;
    if (request->too_often_ms == 0 || is_stream)
        return status;
    error_set(error, "too many requests from this address: wait");
    return 429;
}

/* An EventSource gives up for good on 503, so that a stream is refused by the hub then. */
static int
check_tables(const struct serve *serve, struct request *request, struct error *error)
{
    const struct hub_tables tables = {request->states, request->state_count};
    int status = hub_check_tables(serve->hub, &tables, &request->filter, error);
    request->is_unreadable = status == 503;
    return status == 503 ? 0 : status;
}

/* What the request is and whether it may be. Returns 0, or the status of the refusal. Every request
 * counts to its address's rate, and nothing is computed for one that comes too often. */
static int
dispatch_judge(const struct serve *serve, struct request *request, const char *const *envp,
               struct error *error)
{
    const struct access_rules rules = {serve->keys, serve->settings->ticket_audience,
                                       serve->settings->require_ticket,
                                       revocation_log_known(serve->revocations)};
    int status = request_parse(request, envp, serve->settings->mount, error);
    request->takes_post = serve->settings->allow_publish;
    status = check_rate(serve, request, status, error);
    if (status == 0)
        status = check_post(serve, request, error);
    if (status == 0)
        status = check_push(serve, request, error);
    if (status == 0)
        status = check_read(serve, request, error);
    if (status == 0 && request->method != METHOD_OPTIONS && request->too_often_ms == 0)
        status = access_check(request, &rules, serve_now_ms(), error);
    if (status == 0 && request->method != METHOD_OPTIONS && request->too_often_ms == 0)
        status = check_tables(serve, request, error);
    return status;
}

static void
dispatch_refuse(struct serve *serve, const struct request *request, int status,
                const struct error *error)
{
    const struct refusal_note refused = {status, request->filter.user, request->address,
                                         error->text};
    refusal_log_note(&serve->refusal_log, &refused, uv_now(&serve->loop));
    serve->worker->counters[serve->worker->number].too_many += status == 429;
    const struct response response = {.status = status, .text = error->text};
    response_append(&serve->answer, &response, request, &serve->settings->cors_origins);
}

/* The headers are in serve->answer. */
static void
dispatch_open_stream(struct serve *serve, struct output *output, struct request *request)
{
    struct hub_request opens = {.format = request->format,
                                .start = request->start,
                                .start_value = request->start_value,
                                .start_text = request->start_text,
                                .address = request->address,
                                .tables = {request->states, request->state_count},
                                .is_unreadable = request->is_unreadable,
                                .client = request->client,
                                .throttle_ms = request->throttle_ms,
                                .wait_s = request->wait_s,
                                .ping = request->ping,
                                .too_often_ms = request->too_often_ms,
                                .max_streams = request->max_streams,
                                .expires_at_ms = request->expires_at_ms,
                                .by_ticket = request->by_ticket,
                                .since_ms = request->by_ticket ? request->issued_at_ms
                                                               : serve_now_ms(),
                                .headers = buf_slice(&serve->answer)};
    filter_move(&opens.filter, &request->filter);
    hub_open(serve->hub, output, &opens);
}

/* Passes the output on to the part of the program that answers later. False: the answer is in
 * serve->answer. */
static bool
dispatch_hand_over(struct serve *serve, struct output *output, struct request *request,
                   const struct request_body *body)
{
    bool live_status = request->resource == RESOURCE_STATUS && request->wants_events;
    if (request->resource == RESOURCE_PUSH) {
        push_endpoint_request(serve->push, output, request, body);
        return true;
    }
    if (request->resource == RESOURCE_READ) {
        read_marks_request(serve->read_marks, output, request, body);
        return true;
    }
    if (request->method == METHOD_POST) {
        publish_endpoint_request(serve->endpoint, output, request, body);
        return true;
    }
    if (request->resource != RESOURCE_STREAM && !live_status) {
        answer_report(serve, request);
        return false;
    }
    if (live_status)
        request->format = FORMAT_SSE;
    response_append_stream_headers(&serve->answer, request, &serve->settings->cors_origins);
    if (request->method != METHOD_GET || serve->answer.failed)
        return false;
    if (live_status)
        status_stream_open(serve->status, output, buf_slice(&serve->answer));
    else
        dispatch_open_stream(serve, output, request);
    return true;
}

static void
dispatch(struct serve *serve, struct output *output, const char *const *envp,
         const struct request_body *body)
{
    struct request request;
    struct error error = {""};
    bool handed_over = false;

    buf_clear(&serve->answer);
    int status = dispatch_judge(serve, &request, envp, &error);
    waiting_note_request(serve, output, &request);
    if (status != 0)
        dispatch_refuse(serve, &request, status, &error);
    else if (request.method == METHOD_OPTIONS)
        response_append_options(&serve->answer, &request, &serve->settings->cors_origins);
    else
        handed_over = dispatch_hand_over(serve, output, &request, body);
    if (!handed_over && serve->answer.failed)
        output_drop(output);
    else if (!handed_over)
        output_answer(output, buf_slice(&serve->answer));
    request_fini(&request);
}

void
dispatch_request(void *arg, struct output *output, const char *const *envp,
                 const struct request_body *body)
{
    const char *const *environment = serve_environment(arg, envp);
    if (environment == NULL)
        output_drop(output);
    else
        dispatch(arg, output, environment, body);
}
