/* judge.c - is there a way through the web server, and is it a good one?
 *
 * Called by cmd/doctor.c with what doctor/http.c saw. Each function judges one thing. The rule: a
 * fault is claimed only where the evidence excludes the other explanations, such as silence with
 * a short answer that came at once beside it; else it says what was seen and names both.
 * What happens on an open stream is doctor/judge_stream.c's. */
#include "config.h"

#include "doctor/internal.h"

#include <string.h>
#include <strings.h>

#define MS "%lld ms"

static bool
has_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (; *text != '\0'; text++) {
        if (strncasecmp(text, word, len) == 0)
            return true;
    }
    return false;
}

static bool
is_stream(const struct http_answer *answer)
{
    return answer->status == 200 && strncasecmp(answer->type, "text/event-stream", 17) == 0;
}

void
judge_problem(const struct judge *judge, const char *check, enum doctor_fault fault,
              const char *seen)
{
    doctor_find(
        judge->report,
        (struct doctor_head){check, DOCTOR_PROBLEM, doctor_remedy(fault, judge->server)},
        "%s", seen);
}

/* --- no answer ------------------------------------------------------------------- */

static void
judge_failure(const struct judge *judge, const struct http_answer *answer)
{
    const char *remedy = "Does an HTTP server answer there? Try curl -v with the same URL.";

    if (answer->failure == HTTP_REFUSED)
        remedy =
            "Is the web server running, and are host and port right? A firewall between?";
    else if (answer->failure == HTTP_UNKNOWN_HOST)
        remedy = "Check the host name in the URL, and DNS or /etc/hosts.";
    else if (answer->failure == HTTP_UNTRUSTED)
        remedy = "A browser would refuse it too: renew the certificate, serve its whole "
                 "chain, and use the\n"
                 "host name that it is for. For a certificate of your own authority give "
                 "--cacert FILE.";
    doctor_find(judge->report, (struct doctor_head){"address", DOCTOR_PROBLEM, remedy},
                "no answer: %s", answer->failure_text);
}

/* --- the status ---------------------------------------------------------------------- */

static const char *
status_remedy(const struct judge *judge, const struct http_answer *answer)
{
    switch (answer->status) {
    case 400:
        return "The reason that it gives names the parameter. A web server that refuses "
               "the request "
               "itself says so in its log.";
    case 401:
        return doctor_remedy(FAULT_LOGIN, judge->server);
    case 403:
        return "rowcast says which channel (ROWCAST_CHANNELS, or the ticket); a page of "
               "the web "
               "server means its own rules, or a login.";
    case 406:
        return "A proxy has changed the Accept header: have it pass text/event-stream on.";
    case 500:
    case 502:
    case 503:
    case 504:
        return doctor_remedy(FAULT_GATEWAY, judge->server);
    default:
        return doctor_remedy(FAULT_MOUNT, judge->server);
    }
}

/* The first line of the body, if it is words and not a page. */
static struct slice
reason_of(const struct http_answer *answer)
{
    if (strncasecmp(answer->type, "text/plain", 10) != 0)
        return slice_of("");
    return (struct slice){answer->body, strcspn(answer->body, "\r\n")};
}

static void
judge_redirect(const struct judge *judge, const struct http_answer *answer)
{
    doctor_find(judge->report,
                (struct doctor_head){
                    "address", DOCTOR_PROBLEM,
                    "Give (and have pages use) the address that it leads to. If that is a "
                    "login page,\n"
                    "the events need a login: EventSource would follow to it and give up."},
                "status %d, a redirect to %s", answer->status,
                answer->location[0] != '\0' ? answer->location : "nowhere");
}

static void
judge_status(const struct judge *judge, const struct http_answer *answer)
{
    struct slice reason = reason_of(answer);

    if (answer->status >= 300 && answer->status < 400) {
        judge_redirect(judge, answer);
        return;
    }
    doctor_find(
        judge->report,
        (struct doctor_head){"address", DOCTOR_PROBLEM, status_remedy(judge, answer)},
        "status %d%s%.*s; a page's EventSource gives up for good on any but 200",
        answer->status, reason.len > 0 ? ": " : "", (int)reason.len, reason.p);
}

/* True when the stream was answered by rowcast, so that the rest can be judged. */
static bool
judge_address(const struct judge *judge, const struct http_answer *answer)
{
    if (answer->failure != HTTP_NO_FAILURE) {
        judge_failure(judge, answer);
        return false;
    }
    if (answer->status == 0) /* silence: judge_opening says of what kind */
        return true;
    if (answer->status != 200) {
        judge_status(judge, answer);
        return false;
    }
    if (!is_stream(answer)) {
        doctor_find(judge->report,
                    (struct doctor_head){"address", DOCTOR_PROBLEM,
                                         doctor_remedy(FAULT_MOUNT, judge->server)},
                    "status 200, but %s and not text/event-stream: this is not rowcast's "
                    "stream",
                    answer->type[0] != '\0' ? answer->type : "no content type");
        return false;
    }
    doctor_find(judge->report, (struct doctor_head){"address", DOCTOR_OK, NULL},
                "status 200, text/event-stream, HTTP/%d%s, server %s", answer->version / 10,
                answer->version == 11   ? ".1"
                : answer->version == 10 ? ".0"
                                        : "",
                answer->server[0] != '\0' ? answer->server : "unnamed");
    return true;
}

/* --- health -------------------------------------------------------------------------- */

static void
judge_health(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->health;
    struct doctor_report *report = judge->report;
    struct slice reason = reason_of(answer);

    if (is_stream(answer)) {
        judge_problem(
            judge, "path", FAULT_PATH_INFO,
            "/health gives the stream: what follows the mount point does not reach "
            "rowcast");
    } else if (answer->status == 200 && reason.len == 2 && memcmp(reason.p, "ok", 2) == 0) {
        doctor_find(report, (struct doctor_head){"health", DOCTOR_OK, NULL},
                    "/health says ok after " MS, (long long)answer->end_ms);
    } else if (answer->status == 503 && reason.len > 0) {
        doctor_find(report,
                    (struct doctor_head){"health", DOCTOR_PROBLEM,
                                         "Do what it says; --db FILE checks the database."},
                    "/health: %.*s", (int)reason.len, reason.p);
    } else if (answer->status == 0 && answer->failure == HTTP_NO_FAILURE) {
        judge_problem(
            judge, "health", FAULT_GATEWAY,
            "/health gives no answer, though it is short and needs no buffer flushed");
    } else if (judge->evidence->stream.status == 200) {
        doctor_find(report,
                    (struct doctor_head){"path", DOCTOR_WARNING,
                                         doctor_remedy(FAULT_PATH_INFO, judge->server)},
                    "/health gives status %d: it does not reach rowcast as the stream does",
                    answer->status);
    }
}

/* --- the header ----------------------------------------------------------------------- */

static void
judge_header(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;

    if (answer->status == 0)
        return;
    if (!has_word(answer->cache, "no-transform") || !has_word(answer->cache, "no-cache"))
        doctor_find(
            judge->report,
            (struct doctor_head){"headers", DOCTOR_WARNING,
                                 doctor_remedy(FAULT_CACHE_CONTROL, judge->server)},
            "Cache-Control is \"%s\", not \"no-cache, no-transform\" as rowcast sends "
            "it",
            answer->cache);
    if (answer->has_length)
        judge_problem(
            judge, "headers", FAULT_BUFFERING,
            "the stream has a Content-Length: something kept it back until it ended");
    if (answer->via[0] != '\0')
        doctor_find(judge->report, (struct doctor_head){"proxy", DOCTOR_NOTE, NULL},
                    "a proxy stands before the web server: Via: %s", answer->via);
}

static void
judge_compression(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->packed;
    const char *encoding = answer->encoding;

    if (encoding[0] == '\0')
        encoding = judge->evidence->stream.encoding;
    if (encoding[0] != '\0') {
        doctor_find(judge->report,
                    (struct doctor_head){"compression", DOCTOR_PROBLEM,
                                         doctor_remedy(FAULT_COMPRESSION, judge->server)},
                    "events come with Content-Encoding: %s", encoding);
    } else if (!answer->asked) {
        return;
    } else if (answer->events.opening_ms < 0) {
        doctor_find(
            judge->report,
            (struct doctor_head){"compression", DOCTOR_PROBLEM,
                                 doctor_remedy(FAULT_COMPRESSION, judge->server)},
            "asked with Accept-Encoding: gzip, as every browser does, the opening does "
            "not come within " MS "; without it, it came at once",
            (long long)judge->evidence->quick_ms);
    } else {
        doctor_find(judge->report, (struct doctor_head){"compression", DOCTOR_OK, NULL},
                    "none, as it should be");
    }
}

static void
judge_version(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;
    const char *limit = "about 100 streams at once, its server's setting";
    enum doctor_level level = DOCTOR_NOTE;

    if (answer->version != 20)
        return;
    if (judge->server == SERVER_APACHE) {
        limit =
            "Apache then runs 6 streams of a browser at once, and nothing else beside them";
        level = DOCTOR_WARNING;
    } else if (judge->server == SERVER_LIGHTTPD) {
        limit = "lighttpd then runs 8 requests of a browser at once; more tabs hang";
        level = DOCTOR_WARNING;
    } else if (judge->server == SERVER_NGINX) {
        limit = "nginx then runs 128 streams of a browser at once "
                "(http2_max_concurrent_streams)";
    }
    doctor_find(judge->report,
                (struct doctor_head){"http2", level,
                                     level == DOCTOR_WARNING
                                         ? doctor_remedy(FAULT_STREAMS, judge->server)
                                         : NULL},
                "HTTP/2 is negotiated; %s", limit);
}

static void
judge_ticket(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->in_query;

    if (!answer->asked)
        return;
    if (is_stream(answer))
        judge_problem(
            judge, "ticket", FAULT_AUTHORIZATION,
            "the ticket is taken from the query, but not from the Authorization header: "
            "something keeps that header back");
    else
        doctor_find(
            judge->report,
            (struct doctor_head){"ticket", DOCTOR_NOTE,
                                 "Make a new ticket for a channel that this URL may read."},
            "the ticket is refused in the Authorization header and in the query alike");
}

void
doctor_judge(const struct http_evidence *evidence, struct doctor_report *report)
{
    const struct http_answer *stream = &evidence->stream;
    const struct http_answer *answer = stream->asked ? stream : &evidence->health;
    struct judge judge = {.evidence = evidence,
                          .report = report,
                          .server = doctor_server_of(answer->server[0] != '\0'
                                                         ? answer->server
                                                         : evidence->health.server)};

    if (judge_address(&judge, answer)) {
        judge_header(&judge);
        judge_stream(&judge);
        judge_compression(&judge);
        judge_version(&judge);
    }
    if (stream->asked)
        judge_health(&judge);
    judge_ticket(&judge);
    judge_access(&judge);
}
