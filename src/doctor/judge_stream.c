/* judge_stream.c - do events arrive at once, and does the stream stay?
 *
 * Two kinds of evidence. The opening is written at once with the header, so it shows buffers
 * that wait for more. What rowcast writes later (a heartbeat, or the probe row) shows whether small
 * pieces get through while the stream is silent; only that proves that events arrive. */
#include "config.h"

#include "doctor/internal.h"

#include <string.h>

#include "base/parse_number.h"

#define AT_ONCE_MS                                                                         \
    1000 /* more than a slow network takes, less than any buffer's patience */
#define DEFAULT_BEAT_MS 15000

static double
seconds(int64_t ms)
{
    return (double)ms / 1000;
}

/* --- opening ------------------------------------------------------------------------- */

static void
judge_silence(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;
    const char *remedy = doctor_remedy(FAULT_BUFFERING, judge->server);
    struct doctor_head head = {"buffering", DOCTOR_PROBLEM, remedy};
    double waited = seconds(judge->evidence->wait_ms);

    if (answer->status != 0)
        doctor_find(
            judge->report, head,
            "the header came, but not a byte of events in %.1f s, though rowcast writes "
            "both at once: something buffers the answer",
            waited);
    else if (judge->evidence->health.status == 200)
        doctor_find(
            judge->report, head,
            "not a byte of the stream in %.1f s, though the short answer of /health comes "
            "at once: something keeps an answer back until it ends",
            waited);
    else
        judge_problem(judge, "address", FAULT_GATEWAY,
                      "connected, but neither the stream nor /health is answered");
}

/* Bytes, but no opening block. */
static void
judge_not_opened(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;

    if (answer->encoding[0] != '\0') /* unreadable: judge_compression reports it */
        return;
    if (answer->events.said[0] != '\0')
        doctor_find(judge->report,
                    (struct doctor_head){
                        "limit", DOCTOR_WARNING,
                        "Raise that limit (rowcast serve --max-streams and others), "
                        "or ask again later."},
                    "rowcast does not open the stream now: \"%s\"", answer->events.said);
    else
        judge_problem(judge, "address", FAULT_MOUNT,
                      "an event stream, but without rowcast's opening: is this URL another "
                      "program's?");
}

/* True when the stream was opened. */
static bool
judge_opening(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;
    int64_t opening = answer->events.opening_ms;

    if (answer->body_ms < 0) {
        judge_silence(judge);
        return false;
    }
    if (opening < 0) {
        judge_not_opened(judge);
        return false;
    }
    if (opening > AT_ONCE_MS)
        doctor_find(
            judge->report,
            (struct doctor_head){"buffering", DOCTOR_WARNING,
                                 doctor_remedy(FAULT_BUFFERING, judge->server)},
            "header after %lld ms, opening only after %lld ms: something waits for more "
            "bytes, or the way is very slow",
            (long long)answer->header_ms, (long long)opening);
    else
        doctor_find(
            judge->report, (struct doctor_head){"opening", DOCTOR_OK, NULL},
            "header after %lld ms, first byte after %lld ms, opening complete after %lld "
            "ms",
            (long long)answer->header_ms, (long long)answer->body_ms, (long long)opening);
    return true;
}

/* --- events -------------------------------------------------------------------------- */

static bool
saw_beat(const struct doctor_events *events)
{
    return events->ping_ms >= 0 || events->beat_ms >= 0;
}

static void
judge_end(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;

    if (answer->events.said[0] != '\0') {
        doctor_find(judge->report,
                    (struct doctor_head){"events", DOCTOR_NOTE, "Run doctor once more."},
                    "rowcast ended the stream after %.1f s: \"%s\"",
                    seconds(answer->end_ms), answer->events.said);
        return;
    }
    doctor_find(judge->report,
                (struct doctor_head){"timeout", DOCTOR_PROBLEM,
                                     doctor_remedy(FAULT_TIMEOUT, judge->server)},
                "the stream was cut after %.1f s without a byte, before a heartbeat came",
                seconds(answer->end_ms - answer->last_ms));
}

/* The stream stayed open, and nothing came by itself. */
static void
judge_no_beat(const struct judge *judge)
{
    const struct http_evidence *evidence = judge->evidence;
    struct doctor_head head = {
        "events", DOCTOR_NOTE,
        "Wait longer (--wait SECONDS, above rowcast serve --heartbeat), or let "
        "doctor insert a row:\n--db FILE --send-probe CHANNEL."};

    if (evidence->stream.events.rows > 0) {
        doctor_find(
            judge->report, head,
            "%u rows came while the stream was open, the last one after %.1f s; how late "
            "they were cannot be seen",
            evidence->stream.events.rows, seconds(evidence->stream.last_ms));
    } else if (evidence->wait_ms <= DEFAULT_BEAT_MS) {
        doctor_find(
            judge->report, head,
            "no heartbeat in %.1f s, which may be too short to see one: whether events "
            "arrive at once is not known",
            seconds(evidence->wait_ms));
    } else {
        head.level = DOCTOR_WARNING;
        head.remedy = doctor_remedy(FAULT_BUFFERING, judge->server);
        doctor_find(
            judge->report, head,
            "the opening came, but no heartbeat in %.1f s: small pieces are held back on "
            "the way, unless rowcast serve has a --heartbeat above that",
            seconds(evidence->wait_ms));
    }
}

/* How long the last probe row had to come, in milliseconds. */
static int64_t
waited_for_probe(const struct http_evidence *evidence)
{
    const struct http_answer *stream = &evidence->stream;

    return stream->end == HTTP_OPEN ? evidence->wait_ms
                                    : stream->end_ms - evidence->probed_ms;
}

static void
judge_probe_lost(const struct judge *judge)
{
    const struct doctor_events *events = &judge->evidence->stream.events;

    if (saw_beat(events))
        doctor_find(
            judge->report,
            (struct doctor_head){"probe", DOCTOR_PROBLEM,
                                 "Does that `rowcast serve` have the same --db and "
                                 "--table? May this URL read the\n"
                                 "channel (ROWCAST_CHANNELS, its own ?channel=)? Its log "
                                 "says what it cannot read."},
            "row %s was inserted and did not come, though a heartbeat did: the URL serves "
            "another table, or not this channel",
            events->probe);
    else
        doctor_find(
            judge->report,
            (struct doctor_head){"probe", DOCTOR_PROBLEM,
                                 doctor_remedy(FAULT_BUFFERING, judge->server)},
            "row %s did not come within %.1f s after its commit, nor a heartbeat: "
            "small pieces are held back on the way, or rowcast serves another table",
            events->probe, seconds(waited_for_probe(judge->evidence)));
}

/* All of them came within the milliseconds. */
static bool
came_within(const struct http_evidence *evidence, int64_t from, int64_t to)
{
    for (size_t i = 0; i < evidence->arrived; i++) {
        if (evidence->late_ms[i] < from || evidence->late_ms[i] > to)
            return false;
    }
    return evidence->arrived == HTTP_PROBES;
}

/* Linux delays an acknowledgement by 40 ms at least (TCP_DELACK_MIN) and 200 ms at most
 * (TCP_DELACK_MAX); a sender that waits to fill a packet waits as long for each row. */
static bool
judge_delay(const struct judge *judge)
{
    const struct http_evidence *evidence = judge->evidence;
    const int64_t *late = evidence->late_ms;

    if (!came_within(evidence, 38, 70) && !came_within(evidence, 195, 250))
        return false;
    doctor_find(judge->report,
                (struct doctor_head){"delay", DOCTOR_WARNING,
                                     doctor_remedy(FAULT_DELAY, judge->server)},
                "each row comes as late as the others (%lld, %lld and %lld ms): something "
                "on the way waits to fill a packet",
                (long long)late[0], (long long)late[1], (long long)late[2]);
    return true;
}

static void
judge_probe(const struct judge *judge)
{
    const struct http_evidence *evidence = judge->evidence;
    const struct doctor_events *events = &evidence->stream.events;
    struct doctor_head head = {"probe", DOCTOR_OK, NULL};

    if (!evidence->probed)
        return;
    if (evidence->probed_ms < 0) {
        head.level = DOCTOR_PROBLEM;
        doctor_find(judge->report, head, "the row could not be inserted: %s",
                    evidence->probe_error.text);
        return;
    }
    if (events->probe_ms < 0) {
        judge_probe_lost(judge);
        return;
    }
    if (judge_delay(judge))
        return;
    int64_t late = events->probe_ms - evidence->probed_ms;
    if (late > AT_ONCE_MS) {
        head.level = DOCTOR_WARNING;
        head.remedy = doctor_remedy(FAULT_BUFFERING, judge->server);
    }
    doctor_find(judge->report, head, "row %s came %lld ms after its commit", events->probe,
                (long long)(late < 0 ? 0 : late));
}

static void
judge_events(const struct judge *judge)
{
    const struct http_answer *answer = &judge->evidence->stream;
    const struct doctor_events *events = &answer->events;

    if (saw_beat(events)) {
        int64_t when = events->ping_ms >= 0 ? events->ping_ms : events->beat_ms;
        doctor_find(
            judge->report, (struct doctor_head){"events", DOCTOR_OK, NULL},
            "a heartbeat came by itself after %.1f s: small pieces get through, and a "
            "silent stream stays open for so long",
            seconds(when));
        if (events->ping_ms < 0)
            judge_problem(
                judge, "query", FAULT_QUERY,
                "heartbeats come as comments though ping=1 was asked for: the query "
                "string does not reach rowcast");
    } else if (answer->end != HTTP_OPEN) {
        judge_end(judge);
    } else if (events->probe_ms < 0) { /* a probe that came proves as much */
        judge_no_beat(judge);
    }
}

/* --- which database ------------------------------------------------------------------ */

/* A new stream begins at the highest id that rowcast has read. Tables begin at an id that the clock
 * made, so those of another table are quite other numbers. */
static void
judge_served(const struct judge *judge)
{
    const struct http_marks *marks = &judge->evidence->marks;
    int64_t opened;

    if (!marks->known ||
        parse_count(judge->evidence->stream.events.opening_id, 0, INT64_MAX, &opened) != 0)
        return;
    if (opened < marks->base || opened > marks->after)
        doctor_find(judge->report,
                    (struct doctor_head){"served", DOCTOR_PROBLEM,
                                         "Does that `rowcast serve` have the same --db and "
                                         "--table?"},
                    "the URL serves another database or table: its stream begins at id "
                    "%lld, and this table has the ids %lld to %lld",
                    (long long)opened, (long long)marks->base, (long long)marks->after);
    else
        doctor_find(judge->report, (struct doctor_head){"served", DOCTOR_OK, NULL},
                    "the ids at the URL are those of this table");
}

/* --- resuming ------------------------------------------------------------------------ */

static void
judge_resume(const struct judge *judge)
{
    const struct http_evidence *evidence = judge->evidence;
    const struct http_answer *answer = &evidence->resumed;
    static const char refused[] = "{\"last_event_id\":null"; /* over a limit */

    if (!answer->asked)
        return;
    if (strstr(answer->body, evidence->resume_id) != NULL)
        doctor_find(judge->report, (struct doctor_head){"resume", DOCTOR_OK, NULL},
                    "Last-Event-ID reaches rowcast");
    else if (answer->status != 200 || strncmp(answer->type, "application/json", 16) != 0 ||
             strncmp(answer->body, refused, sizeof refused - 1) == 0)
        doctor_find(
            judge->report, (struct doctor_head){"resume", DOCTOR_NOTE, NULL},
            "whether Last-Event-ID reaches rowcast is not known: a poll for JSON gives "
            "status %d, %s",
            answer->status, answer->type[0] != '\0' ? answer->type : "no answer");
    else
        judge_problem(
            judge, "resume", FAULT_RESUME,
            "the header Last-Event-ID does not reach rowcast: a page that comes back "
            "gets nothing of what it missed");
}

void
judge_stream(const struct judge *judge)
{
    if (!judge_opening(judge))
        return;
    judge_events(judge);
    judge_served(judge);
    judge_probe(judge);
    judge_resume(judge);
}
