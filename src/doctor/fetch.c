/* fetch.c - one GET through libcurl, with a bound on its time and its memory.
 *
 * Called by doctor/http.c. The multi interface is used for its loop: an easy transfer looks at
 * the clock only once a second. Compressed answers stay as they are. */
#include "config.h"

#include "doctor/fetch.h"

#ifdef HAVE_CURL
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"

#define CONNECT_MS 5000

struct exchange {
    const struct fetch *fetch;
    struct http_answer *answer;
    int64_t began_ms;
    int64_t deadline_ms; /* from began_ms on */
    bool is_final;       /* the header is of the last answer, not of a 1xx */
};

int64_t
doctor_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- what comes --------------------------------------------------------------------------- */

/* If the line is the field of that name, its value to out. */
static bool
take_field(struct slice line, const char *name, char out[HTTP_FIELD_MAX])
{
    size_t len = strlen(name);

    if (line.len <= len || strncasecmp(line.p, name, len) != 0 || line.p[len] != ':')
        return false;
    const char *value = line.p + len + 1;
    const char *end = line.p + line.len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    snprintf(out, HTTP_FIELD_MAX, "%.*s", (int)(end - value), value);
    return true;
}

static size_t
on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    struct http_answer *answer = exchange->answer;
    struct slice line = {bytes, size * count};
    char length[HTTP_FIELD_MAX];

    if (line.len > 5 && memcmp(line.p, "HTTP/", 5) == 0) {
        int status = 0;
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)line.len, line.p);
        const char *space = strchr(text, ' ');
        if (space != NULL)
            status = (int)strtol(space + 1, NULL, 10);
        exchange->is_final = status >= 200;
        if (exchange->is_final) {
            answer->status = status;
            answer->header_ms = doctor_clock_ms() - exchange->began_ms;
        }
    }
    if (!exchange->is_final)
        return line.len;
    take_field(line, "Content-Type", answer->type);
    take_field(line, "Content-Encoding", answer->encoding);
    take_field(line, "Cache-Control", answer->cache);
    take_field(line, "Server", answer->server);
    take_field(line, "Via", answer->via);
    take_field(line, "Location", answer->location);
    if (take_field(line, "Content-Length", length))
        answer->has_length = true;
    return line.len;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    struct http_answer *answer = exchange->answer;
    size_t len = size * count;
    int64_t now = doctor_clock_ms() - exchange->began_ms;

    if (answer->body_ms < 0)
        answer->body_ms = now;
    answer->last_ms = now;
    size_t room = HTTP_BODY_MAX - 1 - answer->body_len;
    size_t taken = len < room ? len : room;
    memcpy(answer->body + answer->body_len, bytes, taken);
    answer->body_len += taken;
    answer->body[answer->body_len] = '\0';

    doctor_events_feed(&answer->events, (struct slice){bytes, len}, now);
    if (answer->events.opening_ms >= 0 && exchange->fetch->on_piece != NULL &&
        exchange->fetch->on_piece(exchange->fetch->arg, &answer->events,
                                  exchange->began_ms))
        exchange->deadline_ms =
            doctor_clock_ms() - exchange->began_ms + exchange->fetch->limit_ms;
    return len;
}

static bool
is_event_stream(const struct http_answer *answer)
{
    return strncasecmp(answer->type, "text/event-stream", 17) == 0;
}

/* The request has shown what it is for. */
static bool
has_enough(const struct exchange *exchange)
{
    const struct http_answer *answer = exchange->answer;
    const struct doctor_events *events = &answer->events;

    switch (exchange->fetch->until) {
    case FETCH_END: /* a stream instead has no end */
        return answer->body_len > 0 && is_event_stream(answer);
    case FETCH_OPENING:
        return events->opening_ms >= 0 || answer->encoding[0] != '\0';
    case FETCH_LIFE:
        return (events->ping_ms >= 0 || events->beat_ms >= 0) &&
               (events->probe[0] == '\0' || events->probe_ms >= 0);
    }
    return true;
}

/* --- a request ------------------------------------------------------------------------------ */

static void
take_end(struct exchange *exchange, CURLcode code, const char *text)
{
    struct http_answer *answer = exchange->answer;

    answer->end_ms = doctor_clock_ms() - exchange->began_ms;
    answer->end = code == CURLE_OK ? HTTP_ENDED : HTTP_CUT;
    if (code == CURLE_OK || answer->status != 0)
        return;
    snprintf(answer->failure_text, sizeof answer->failure_text, "%.*s", HTTP_FIELD_MAX - 1,
             text[0] != '\0' ? text : curl_easy_strerror(code));
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT)
        answer->failure = HTTP_REFUSED;
    else if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        answer->failure = HTTP_UNKNOWN_HOST;
    else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
             code == CURLE_SSL_CACERT_BADFILE)
        answer->failure = HTTP_UNTRUSTED;
    else
        answer->failure = HTTP_BROKEN;
}

static void
run(struct exchange *exchange, CURLM *multi, const char *failure_text)
{
    int running = 1;

    while (running > 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return;
        int64_t now = doctor_clock_ms() - exchange->began_ms;
        if (has_enough(exchange) || now >= exchange->deadline_ms)
            break;
        int64_t left = exchange->deadline_ms - now;
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, (int)left, NULL);
    }
    int left;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE)
            take_end(exchange, message->data.result, failure_text);
    }
}

static struct curl_slist *
make_headers(const struct fetch *fetch)
{
    struct curl_slist *headers = NULL;
    struct buf ticket = {0};
    char line[256];

    snprintf(line, sizeof line, "Accept: %s",
             fetch->accept != NULL ? fetch->accept : "text/event-stream");
    headers = curl_slist_append(headers, line);
    for (const char *const *more = fetch->headers; more != NULL && *more != NULL; more++)
        headers = curl_slist_append(headers, *more);
    if (fetch->ticket != NULL) {
        buf_append_text(&ticket, "Authorization: Bearer ");
        buf_append(&ticket, fetch->ticket, strlen(fetch->ticket) + 1);
        headers = curl_slist_append(headers, ticket.failed ? "" : ticket.p);
    }
    buf_fini(&ticket);
    return headers;
}

static void
set_options(CURL *easy, struct exchange *exchange)
{
    curl_easy_setopt(easy, CURLOPT_URL, exchange->fetch->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "rowcast-doctor/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (exchange->fetch->user != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, exchange->fetch->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, exchange->fetch->user);
    }
    if (exchange->fetch->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, exchange->fetch->ca_file);
}

static int
version_of(CURL *easy)
{
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0   ? 10
           : version == CURL_HTTP_VERSION_2_0 ? 20
           : version == CURL_HTTP_VERSION_3   ? 30
                                              : 11;
}

int
doctor_fetch(const struct fetch *fetch, struct http_answer *answer, struct error *error)
{
    char failure_text[CURL_ERROR_SIZE] = "";
    struct exchange exchange = {
        .fetch = fetch, .answer = answer, .deadline_ms = fetch->limit_ms};
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = make_headers(fetch);
    int result = -1;

    *answer = (struct http_answer){
        .asked = true, .header_ms = -1, .body_ms = -1, .last_ms = -1, .end_ms = -1};
    doctor_events_init(&answer->events);
    exchange.began_ms = doctor_clock_ms();
    if (multi != NULL && easy != NULL && headers != NULL) {
        set_options(easy, &exchange);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, failure_text);
        if (curl_multi_add_handle(multi, easy) == CURLM_OK) {
            run(&exchange, multi, failure_text);
            answer->version = version_of(easy);
            curl_multi_remove_handle(multi, easy);
            result = 0;
        }
    }
    if (result != 0)
        error_set(error, "out of memory");
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    return result;
}

#endif
