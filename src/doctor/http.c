/* http.c - which requests `rowcast doctor` makes, and where to.
 *
 * Called by cmd/doctor.c. Six requests at the most, one after another: health (does a short
 * answer get through?), whoami without a login and with one that is made up (who may read
 * what?), the stream (what arrives, and when), the stream as a browser asks for it (is it
 * compressed?), and a poll with a Last-Event-ID (does that get through?). */
#include "config.h"

#include "doctor/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
doctor_http_is_built(void)
{
#ifdef HAVE_CURL
    return true;
#else
    return false;
#endif
}

#ifdef HAVE_CURL
#include <curl/curl.h>

#define QUICK_MS 5000

/* --- the addresses ------------------------------------------------------------------- */

struct addresses {
    char *stream, *health, *in_query, *whoami;
};

static char *
with_query(CURLU *url, const char *name, const char *value)
{
    char *text = NULL;
    size_t size = strlen(name) + strlen(value) + 2;
    char *pair = malloc(size);

    if (pair == NULL)
        return NULL;
    snprintf(pair, size, "%s=%s", name, value);
    if (curl_url_set(url, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) ==
        CURLUE_OK)
        curl_url_get(url, CURLUPART_URL, &text, 0);
    free(pair);
    return text;
}

/* The resource beside the stream, without a query. */
static char *
beside(CURLU *url, const char *name)
{
    char *path = NULL, *text = NULL;

    if (curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        return NULL;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    size_t size = len + strlen(name) + 1;
    char *longer = malloc(size);
    if (longer != NULL) {
        snprintf(longer, size, "%.*s%s", (int)len, path, name);
        curl_url_set(url, CURLUPART_QUERY, NULL, 0);
        if (curl_url_set(url, CURLUPART_PATH, longer, 0) == CURLUE_OK)
            curl_url_get(url, CURLUPART_URL, &text, 0);
        curl_url_set(url, CURLUPART_PATH, path, 0);
    }
    free(longer);
    curl_free(path);
    return text;
}

/* Without a login that the URL has. */
static char *
whoami_address(CURLU *url)
{
    curl_url_set(url, CURLUPART_USER, NULL, 0);
    curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    return beside(url, "/whoami");
}

static bool
is_http(CURLU *url)
{
    char *scheme = NULL;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        return false;
    bool is = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
    curl_free(scheme);
    return is;
}

static int
make_addresses(const struct http_target *target, struct addresses *out, struct error *error)
{
    CURLU *url = curl_url();

    *out = (struct addresses){0};
    if (url == NULL)
        return error_set(error, "out of memory");
    if (curl_url_set(url, CURLUPART_URL, target->url, 0) != CURLUE_OK || !is_http(url)) {
        curl_url_cleanup(url);
        return error_set(error,
                         "\"%.200s\" is not the URL of the events: give one such as "
                         "http://localhost/events",
                         target->url);
    }
    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    if (target->channel != NULL)
        curl_free(with_query(url, "channel", target->channel));
    out->stream = with_query(url, "ping", "1");
    out->in_query = with_query(url, "ticket", target->ticket != NULL ? target->ticket : "");
    out->health = beside(url, "/health");
    out->whoami = whoami_address(url);
    curl_url_cleanup(url);
    if (out->stream != NULL && out->in_query != NULL && out->health != NULL &&
        out->whoami != NULL)
        return 0;
    return error_set(error, "out of memory");
}

/* --- all requests ---------------------------------------------------------------- */

struct gathering {
    const struct http_target *target;
    struct http_evidence *evidence;
};

/* What comes later than a quiet machine's loop needs may wait for a timer on the way. */
#define LATE_MS 30

static void
send_probe(struct gathering *gathering, struct doctor_events *events, int64_t began_ms)
{
    struct http_evidence *evidence = gathering->evidence;
    const struct http_target *target = gathering->target;

    evidence->probed = true;
    evidence->probed_ms = -1;
    if (target->probe(target->arg, events->probe, &evidence->probe_error) == 0)
        evidence->probed_ms = doctor_clock_ms() - began_ms;
}

/* The probe row has come: if it was late, another one shows whether each is as late. Returns
 * whether there is another one. */
static bool
take_probe(struct gathering *gathering, struct doctor_events *events, int64_t began_ms)
{
    struct http_evidence *evidence = gathering->evidence;
    int64_t late = events->probe_ms - evidence->probed_ms;

    if (evidence->arrived == HTTP_PROBES)
        return false;
    evidence->late_ms[evidence->arrived++] = late < 0 ? 0 : late;
    if (late < LATE_MS || evidence->arrived == HTTP_PROBES)
        return false;
    events->probe_ms = -1;
    send_probe(gathering, events, began_ms);
    return true;
}

static bool
on_piece(void *arg, struct doctor_events *events, int64_t began_ms)
{
    struct gathering *gathering = arg;
    struct http_evidence *evidence = gathering->evidence;
    const struct http_target *target = gathering->target;

    if (target->read_marks != NULL && !evidence->marks.known)
        target->read_marks(target->arg, &evidence->marks);
    if (target->probe == NULL)
        return false;
    if (!evidence->probed) {
        send_probe(gathering, events, began_ms);
        return true;
    }
    return events->probe_ms >= 0 && evidence->probed_ms >= 0 &&
           take_probe(gathering, events, began_ms);
}

/* What a browser's EventSource also does: it takes compressed answers, and it comes back with a
 * Last-Event-ID. For the latter a poll is asked: its answer ends, so no buffer can hide it. */
static int
ask_again(struct fetch fetch, struct http_evidence *evidence, struct error *error)
{
    static const char *const as_browser[] = {"Accept-Encoding: gzip, deflate, br", NULL};
    char last_event_id[EVENTS_WORD_MAX + 32];
    const char *const resuming[] = {last_event_id, NULL};

    fetch.limit_ms = evidence->quick_ms;
    fetch.on_piece = NULL;
    fetch.headers = as_browser;
    fetch.until = FETCH_OPENING;
    if (doctor_fetch(&fetch, &evidence->packed, error) != 0)
        return -1;

    snprintf(last_event_id, sizeof last_event_id, "Last-Event-ID: %s", evidence->resume_id);
    fetch.headers = resuming;
    fetch.accept = "application/json";
    fetch.until = FETCH_END;
    return doctor_fetch(&fetch, &evidence->resumed, error);
}

/* As a stranger, and as one who claims to be a user: by a login with a password, and by the
 * headers by which web servers hand a user on among themselves. */
static int
ask_whoami(const struct gathering *gathering, const struct addresses *to,
           struct error *error)
{
    static const char *const claims[] = {"Remote-User", "Remote_User", "X-Remote-User",
                                         "X-Forwarded-User", "X-User"};
    enum { CLAIMS = sizeof claims / sizeof *claims };
    struct http_evidence *evidence = gathering->evidence;
    char lines[CLAIMS][EVENTS_WORD_MAX + 32];
    const char *headers[CLAIMS + 1] = {NULL};
    struct fetch fetch = {.url = to->whoami,
                          .accept = "*/*",
                          .ca_file = gathering->target->ca_file,
                          .until = FETCH_END,
                          .limit_ms = evidence->quick_ms};

    if (doctor_fetch(&fetch, &evidence->anonymous, error) != 0)
        return -1;
    for (size_t i = 0; i < CLAIMS; i++) {
        snprintf(lines[i], sizeof lines[i], "%s: %s%s", claims[i], evidence->made_up_name,
                 HTTP_HEADER_SUFFIX);
        headers[i] = lines[i];
    }
    fetch.headers = headers;
    fetch.user = evidence->made_up_name;
    return doctor_fetch(&fetch, &evidence->made_up, error);
}

static int
ask_all(const struct gathering *gathering, const struct addresses *to, struct error *error)
{
    const struct http_target *target = gathering->target;
    struct http_evidence *evidence = gathering->evidence;
    static const char *const plain[] = {"Accept-Encoding: identity", NULL};
    struct gathering arg = *gathering;
    struct fetch fetch = {.url = to->health,
                          .headers = plain,
                          .ticket = target->ticket,
                          .ca_file = target->ca_file,
                          .until = FETCH_END,
                          .limit_ms = evidence->quick_ms};

    if (doctor_fetch(&fetch, &evidence->health, error) != 0)
        return -1;
    if (evidence->health.failure != HTTP_NO_FAILURE)
        return 0;
    if (ask_whoami(gathering, to, error) != 0)
        return -1;

    fetch.url = to->stream;
    fetch.until = FETCH_LIFE;
    fetch.limit_ms = target->wait_ms;
    fetch.on_piece = on_piece;
    fetch.arg = &arg;
    if (doctor_fetch(&fetch, &evidence->stream, error) != 0)
        return -1;
    if (evidence->stream.events.opening_ms >= 0)
        return ask_again(fetch, evidence, error);

    int status = evidence->stream.status;
    if (target->ticket == NULL || (status != 401 && status != 403))
        return 0;
    fetch = (struct fetch){.url = to->in_query,
                           .ca_file = target->ca_file,
                           .until = FETCH_OPENING,
                           .limit_ms = evidence->quick_ms};
    return doctor_fetch(&fetch, &evidence->in_query, error);
}

int
doctor_http_gather(const struct http_target *target, struct http_evidence *evidence,
                   struct error *error)
{
    struct addresses addresses;

    *evidence = (struct http_evidence){
        .wait_ms = target->wait_ms,
        .quick_ms = target->wait_ms < QUICK_MS ? target->wait_ms : QUICK_MS,
        .probed_ms = -1};
    /* Not a number, so rowcast says so in a gap event which repeats it, and replays nothing. */
    snprintf(evidence->resume_id, sizeof evidence->resume_id, "doctor-%lld",
             (long long)doctor_clock_ms());
    snprintf(evidence->made_up_name, sizeof evidence->made_up_name, "%s",
             evidence->resume_id);
    int result = make_addresses(target, &addresses, error);
    if (result == 0)
        result = ask_all(&(struct gathering){target, evidence}, &addresses, error);
    curl_free(addresses.stream);
    curl_free(addresses.health);
    curl_free(addresses.in_query);
    curl_free(addresses.whoami);
    return result;
}

#else

int
doctor_http_gather(const struct http_target *target, struct http_evidence *evidence,
                   struct error *error)
{
    *evidence = (struct http_evidence){.wait_ms = target->wait_ms};
    return error_set(error, "this build has no HTTP client: build rowcast with libcurl");
}

#endif
