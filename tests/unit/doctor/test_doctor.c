/* test_doctor.c - doctor's pure parts: reading a stream, judging evidence, lighttpd's settings,
 * and the remedies; tests/doctor.bats has the same with real servers, but for what they cannot
 * be brought to do. */
#include "config.h"

#include "doctor/apache.h"
#include "doctor/events.h"
#include "doctor/judge.h"
#include "doctor/lighttpd.h"
#include "doctor/remedy.h"

#include "../unit.h"

#define TEST_NAME "doctor"

/* --- events -------------------------------------------------------------------------- */

#define OPENING                                                                            \
    ": connected\nretry: 3000\nevent: rowcast:open\nid: 7\ndata: "                         \
    "{\"last_event_id\":\"7\"}\n\n"
#define PING "event: rowcast:ping\ndata: {}\n\n"
static void
feed(struct doctor_events *events, const char *text, int64_t now_ms)
{
    doctor_events_feed(events, slice_of(text), now_ms);
}

static void
test_times_are_those_of_complete_blocks(void **state)
{
    struct doctor_events events;
    (void)state;

    doctor_events_init(&events);
    feed(&events, ": connected\nevent: rowcast:op", 1);
    feed(&events, "en\r\ndata: {}\n", 2);
    assert_int_equal(events.opening_ms, -1);
    feed(&events, "\n", 3);
    feed(&events, PING PING, 4);
    feed(&events, ":\n\n", 5);
    feed(&events, PING, 6);
    assert_int_equal(events.opening_ms, 3);
    assert_int_equal(events.ping_ms, 4);
    assert_int_equal(events.beat_ms, 5);
    assert_int_equal(events.rows, 0);
    assert_string_equal(events.said, "");
}

static void
test_rows_are_counted_and_the_probe_is_known(void **state)
{
    struct doctor_events events;
    (void)state;

    doctor_events_init(&events);
    feed(&events, "id: 8\ndata: a\n\nid: 9\n\n", 1); /* the second is no event */
    strcpy(events.probe, "10");
    feed(&events, "id: 10\nevent: rowcast-doctor\ndata: x\n\nid: 100\ndata: y\n\n", 2);
    assert_int_equal(events.rows, 2);
    assert_int_equal(events.probe_ms, 2);
}

static void
test_a_strangers_stream_has_bounds(void **state)
{
    struct doctor_events events;
    char junk[4096];
    (void)state;

    doctor_events_init(&events);
    memset(junk, 'x', sizeof junk);
    for (int i = 0; i < 100; i++)
        doctor_events_feed(&events, (struct slice){junk, sizeof junk}, 1);
    feed(&events, "\nid: ", 2);
    doctor_events_feed(&events, (struct slice){junk, sizeof junk}, 2);
    feed(&events, "\ndata: ", 2);
    doctor_events_feed(&events, (struct slice){junk, sizeof junk}, 2);
    feed(&events, "\n: ", 2);
    doctor_events_feed(&events, (struct slice){junk, sizeof junk}, 2);
    doctor_events_feed(&events, (struct slice){"\n\0:\0\n\n", 6}, 3);
    assert_int_equal(events.rows, 1);
    assert_int_equal(strlen(events.said), EVENTS_WORD_MAX - 1);
    feed(&events, OPENING, 4);
    assert_int_equal(events.opening_ms, 4);
}

/* --- judging -------------------------------------------------------------------------- */

static struct http_answer
answer(const char *body)
{
    struct http_answer answer = {.asked = true,
                                 .status = 200,
                                 .version = 11,
                                 .header_ms = 2,
                                 .body_ms = 2,
                                 .last_ms = 2,
                                 .end_ms = -1};

    strcpy(answer.type, "text/event-stream");
    strcpy(answer.cache, "no-cache, no-transform");
    strcpy(answer.server, "nginx/1.22.1");
    doctor_events_init(&answer.events);
    feed(&answer.events, body, 2);
    return answer;
}

/* What a good deployment shows. */
static struct http_evidence
good(void)
{
    struct http_evidence evidence = {
        .wait_ms = 20000, .quick_ms = 5000, .probed_ms = -1, .resume_id = "doctor-1"};

    evidence.health = answer("");
    evidence.health.end_ms = 3;
    strcpy(evidence.health.type, "text/plain; charset=utf-8");
    strcpy(evidence.health.body, "ok\n");
    evidence.stream = answer(OPENING);
    feed(&evidence.stream.events, PING, 15000);
    evidence.packed = answer(OPENING);
    evidence.resumed = answer("");
    strcpy(evidence.resumed.type, "application/json");
    strcpy(
        evidence.resumed.body,
        "{\"last_event_id\":\"7\",\"gap\":{\"reason\":\"bad-id\",\"after\":\"doctor-1\"}");
    return evidence;
}

/* Every finding as "check=level ", but for those that are ok. */
static const char *
judged(const struct http_evidence *evidence, char out[512])
{
    static const char *const levels[] = {"ok", "note", "warning", "problem"};
    struct doctor_report report = {.count = 0};
    size_t len = 0;

    doctor_judge(evidence, &report);
    out[0] = '\0';
    for (size_t i = 0; i < report.count; i++) {
        if (report.findings[i].level != DOCTOR_OK)
            len += (size_t)snprintf(out + len, 512 - len, "%s%s=%s", len > 0 ? " " : "",
                                    report.findings[i].check,
                                    levels[report.findings[i].level]);
        if (report.findings[i].level >= DOCTOR_WARNING)
            assert_true(report.findings[i].remedy[0] != '\0');
    }
    return out;
}

static void
assert_judged(const struct http_evidence *evidence, const char *expected)
{
    char out[512];

    assert_string_equal(judged(evidence, out), expected);
}

static void
test_a_good_way_has_no_fault(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    assert_judged(&evidence, "");
}

static void
test_silence_is_a_buffer_only_if_health_answers(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream = (struct http_answer){
        .asked = true, .header_ms = -1, .body_ms = -1, .last_ms = -1, .end_ms = -1};
    doctor_events_init(&evidence.stream.events);
    evidence.packed.asked = false;
    evidence.resumed.asked = false;
    assert_judged(&evidence, "buffering=problem");
    evidence.health = evidence.stream;
    assert_judged(&evidence, "address=problem health=problem");
}

static void
test_a_header_without_a_body_is_a_buffer(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream = answer("");
    evidence.stream.body_ms = -1;
    evidence.packed.asked = false;
    evidence.resumed.asked = false;
    assert_judged(&evidence, "buffering=problem");
}

static void
test_a_late_opening_is_reported(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream.events.opening_ms = 4000;
    assert_judged(&evidence, "buffering=warning");
}

static void
test_no_heartbeat_is_judged_by_the_wait(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream.events.ping_ms = -1;
    assert_judged(&evidence, "events=warning");
    evidence.wait_ms = 3000;
    assert_judged(&evidence, "events=note");
    evidence.wait_ms = 20000;
    evidence.stream.events.rows = 3; /* a busy stream has no heartbeats */
    assert_judged(&evidence, "events=note");
}

static void
test_an_end_is_a_timeout_unless_rowcast_says_why(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream.events.ping_ms = -1;
    evidence.stream.end = HTTP_CUT;
    evidence.stream.end_ms = 5002;
    assert_judged(&evidence, "timeout=problem");
    feed(&evidence.stream.events, ": restarting\nretry: 3620\n\n", 5000);
    assert_judged(&evidence, "events=note");
}

static void
test_a_probe_that_is_late_or_lost(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.probed = true;
    evidence.probed_ms = 10;
    strcpy(evidence.stream.events.probe, "8");
    evidence.stream.events.probe_ms = 11;
    assert_judged(&evidence, "");
    evidence.stream.events.probe_ms = 9000;
    assert_judged(&evidence, "probe=warning");
    evidence.stream.events.probe_ms = -1;
    assert_judged(&evidence, "probe=problem");
}

static void
test_a_browser_gets_nothing_where_compression_waits(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.packed.events.opening_ms = -1;
    assert_judged(&evidence, "compression=problem");
}

static void
test_resuming_is_judged_by_rowcasts_own_answer(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    strcpy(evidence.resumed.body, "{\"last_event_id\":\"7\",\"gap\":null,\"events\":[]}");
    assert_judged(&evidence, "resume=problem");
    strcpy(evidence.resumed.body, "{\"last_event_id\":null,\"gap\":null,\"events\":[]}");
    assert_judged(&evidence, "resume=note");
    strcpy(evidence.resumed.body, "{\"last_event_id\":\"7\"");
    strcpy(evidence.resumed.type, "text/event-stream");
    assert_judged(&evidence, "resume=note");
}

/* A server before rowcast that refuses the header and takes the query. */
static void
test_a_ticket_that_is_lost_on_the_way(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream = answer("");
    evidence.stream.status = 403;
    evidence.packed.asked = false;
    evidence.resumed.asked = false;
    evidence.in_query = answer(OPENING);
    assert_judged(&evidence, "address=problem ticket=problem");
    evidence.in_query.status = 403;
    assert_judged(&evidence, "address=problem ticket=note");
}

static void
test_http2_is_a_warning_where_it_is_narrow(void **state)
{
    static const struct {
        const char *server, *expected;
    } cases[] = {{"Apache/2.4.62", "http2=warning"},
                 {"lighttpd/1.4.69", "http2=warning"},
                 {"nginx/1.22.1", "http2=note"},
                 {"somebody", "http2=note"}};
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_evidence evidence = good();
        evidence.stream.version = 20;
        strcpy(evidence.stream.server, cases[i].server);
        assert_judged(&evidence, cases[i].expected);
    }
}

static void
test_an_event_stream_of_another_program(void **state)
{
    struct http_evidence evidence = good();
    (void)state;

    evidence.stream = answer("data: hello\n\n");
    evidence.packed.asked = false;
    evidence.resumed.asked = false;
    assert_judged(&evidence, "address=problem");
}

static void
test_a_constant_delay_is_reported(void **state)
{
    static const struct {
        int64_t late[HTTP_PROBES];
        size_t arrived;
        const char *expected;
    } cases[] = {{{208, 207, 209}, 3, "delay=warning"},
                 {{41, 44, 40}, 3, "delay=warning"},
                 {{208, 3, 209}, 3, ""},
                 {{40, 90, 41}, 3, ""},
                 {{208}, 1, ""}};
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_evidence evidence = good();
        evidence.probed = true;
        evidence.probed_ms = 10;
        strcpy(evidence.stream.events.probe, "8");
        evidence.stream.events.probe_ms = 11;
        memcpy(evidence.late_ms, cases[i].late, sizeof evidence.late_ms);
        evidence.arrived = cases[i].arrived;
        assert_judged(&evidence, cases[i].expected);
    }
}

static void
test_another_database_is_reported(void **state)
{
    struct http_evidence evidence = good(); /* its stream begins at 7 */
    (void)state;

    evidence.marks = (struct http_marks){.known = true, .base = 7, .after = 7};
    assert_judged(&evidence, "");
    evidence.marks = (struct http_marks){.known = true, .base = 8, .after = 90};
    assert_judged(&evidence, "served=problem");
    evidence.marks = (struct http_marks){.known = true, .base = 1, .after = 6};
    assert_judged(&evidence, "served=problem");
}

static void
test_access_is_reported_and_claims_are_problems(void **state)
{
    static const struct {
        int anonymous_status, made_up_status;
        const char *anonymous, *made_up, *expected;
    } cases[] = {
        {200, 200, "{\"user\":null,\"bounds\":[],\"publish\":false}",
         "{\"user\":null,\"bounds\":[],\"publish\":false}", "access=note"},
        {200, 200, "{\"user\":null,\"bounds\":[\"location\"],\"publish\":false}",
         "{\"user\":null,\"bounds\":[\"location\"],\"publish\":false}", ""},
        {200, 200, "{\"user\":null,\"bounds\":[],\"publish\":false}",
         "{\"user\":\"doctor-1\",\"bounds\":[],\"publish\":false}", "access=problem"},
        {200, 200, "{\"user\":null,\"bounds\":[],\"publish\":false}",
         "{\"user\":\"doctor-1-header\",\"bounds\":[],\"publish\":false}",
         "access=problem"},
        {401, 401, "<html>", "<html>", ""},
        {401, 200, "<html>", "{\"user\":\"doctor-1\",\"bounds\":[],\"publish\":false}",
         "access=problem"},
        {401, 200, "<html>", "{\"user\":null,\"bounds\":[],\"publish\":false}",
         "access=problem"},
        {401, 401, "a ticket is needed: in", "a ticket is needed: in", ""},
        {200, 200, "{\"user\":\"x\",\"bounds\":[],\"publish\":false}",
         "{\"user\":\"x\",\"bounds\":[],\"publish\":false}", "access=note access=warning"},
        {404, 404, "unknown resource", "unknown resource", "access=note"},
        {502, 502, "", "", ""},
    };
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_evidence evidence = good();
        strcpy(evidence.made_up_name, "doctor-1");
        evidence.anonymous = answer("");
        evidence.anonymous.status = cases[i].anonymous_status;
        strcpy(evidence.anonymous.body, cases[i].anonymous);
        evidence.made_up = answer("");
        evidence.made_up.status = cases[i].made_up_status;
        strcpy(evidence.made_up.body, cases[i].made_up);
        assert_judged(&evidence, cases[i].expected);
    }
}

/* --- remedies ------------------------------------------------------------------------- */

static void
test_each_fault_has_a_remedy_for_each_server(void **state)
{
    (void)state;
    for (int fault = 0; fault < FAULTS; fault++) {
        for (int server = 0; server < SERVERS; server++) {
            const char *text =
                doctor_remedy((enum doctor_fault)fault, (enum doctor_server)server);
            CHECK(text != NULL && strlen(text) > 20, "fault %d server %d", fault, server);
            CHECK(strlen(text) < DOCTOR_REMEDY_MAX, "fault %d server %d", fault, server);
        }
    }
    assert_int_equal(doctor_server_of("Apache/2.4.62 (Debian)"), SERVER_APACHE);
    assert_int_equal(doctor_server_of("Lighttpd"), SERVER_LIGHTTPD);
    assert_int_equal(doctor_server_of(""), SERVER_OTHER);
    assert_int_equal(doctor_server_of("cloudflare"), SERVER_OTHER);
}

/* --- the report ----------------------------------------------------------------------- */

static void
test_words_from_outside_are_escaped_and_cut(void **state)
{
    struct doctor_report report = {.count = 0};
    char longer[3000];
    (void)state;

    doctor_find(&report, (struct doctor_head){"a", DOCTOR_NOTE, "one\ntwo\x1b"},
                "x\x1b[2J\n%s", "\xc2\x9b");
    assert_string_equal(report.findings[0].seen, "x\\x1b[2J\\x0a\\xc2\\x9b");
    assert_string_equal(report.findings[0].remedy, "one\ntwo\\x1b");
    memset(longer, '\n', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 0; i < DOCTOR_FINDINGS_MAX + 5; i++)
        doctor_find(&report, (struct doctor_head){longer, DOCTOR_OK, longer}, "%s", longer);
    assert_int_equal(report.count, DOCTOR_FINDINGS_MAX);
    assert_int_equal(doctor_worst(&report), DOCTOR_NOTE);
}

/* --- lighttpd ------------------------------------------------------------------------- */

static void
assert_lighttpd(const char *text, int64_t streams, const char *expected)
{
    struct doctor_report report = {.count = 0};
    char out[128] = "";

    doctor_judge_lighttpd_text(slice_of(text), streams, &report);
    for (size_t i = 0; i < report.count; i++) {
        strcat(out, report.findings[i].check);
        strcat(out, report.findings[i].level >= DOCTOR_WARNING ? "! " : " ");
    }
    assert_string_equal(out, expected);
}

static void
test_lighttpds_settings_are_read_as_it_prints_them(void **state)
{
    (void)state;
    assert_lighttpd("", 900, "spooling! connections ");
    assert_lighttpd("config {\n    server.stream-response-body = 2\n}\n", 900,
                    "spooling connections ");
    assert_lighttpd("config {\n    server.max-fds         = 1000\n"
                    "    $HTTP[\"url\"] =~ \"^/events\" {\n        # block 1\n"
                    "        server.stream-response-body = 1\n    } # end\n}\n",
                    900, "spooling! connections! ");
    assert_lighttpd("config {\n    server.max-connections = 901\n"
                    "    server.stream-response-body = 2\n",
                    900, "spooling connections ");
    assert_lighttpd("config {\n    server.max-connections = 899\n"
                    "    server.stream-response-body = 2",
                    900, "spooling connections! ");
    assert_lighttpd("}}}\n}\n{{\nserver.max-fds = many\nserver.max-fds=\n", 1,
                    "spooling! connections ");
}

static void
test_lighttpd_1_4_79_prints_conditions_with_if(void **state)
{
    struct doctor_report report = {.count = 0};
    (void)state;

    doctor_judge_lighttpd_text(
        slice_of("config {\n    if $HTTP[\"url\"] =~ \"^/events(?:/|$)\" {\n"
                 "        # block 1\n        server.stream-response-body = 1\n"
                 "    } # end of $HTTP[\"url\"]\n    else if $HTTP[\"x\"] == \"y\" {\n    "
                 "}\n}\n"),
        900, &report);
    assert_non_null(strstr(report.findings[0].seen, "in: $HTTP[\"url\"] =~ \"^/events"));
}

static void
test_keys_that_lighttpd_does_not_know_are_a_problem(void **state)
{
    struct doctor_report report = {.count = 0};
    (void)state;

    doctor_judge_lighttpd_text(
        slice_of("2026-11-28 13:57:05: (configfile.c.1289) WARNING: unknown config-key: "
                 "auth.require (ignored)\n2026: WARNING: unknown config-key: "
                 "setenv.set-environment (ignored)\nconfig {\n"
                 "    server.stream-response-body = 2\n}\n"),
        900, &report);
    assert_string_equal(report.findings[0].check, "unknown");
    assert_int_equal(report.findings[0].level, DOCTOR_PROBLEM);
    assert_non_null(
        strstr(report.findings[0].seen, "auth.require, setenv.set-environment."));
}

/* --- Apache --------------------------------------------------------------------------- */

static void
assert_apache(const char *text, int64_t served_max, enum doctor_level expected)
{
    struct doctor_report report = {.count = 0};

    doctor_judge_apache_text(slice_of(text), served_max, &report);
    assert_int_equal(report.count, 1);
    CHECK(report.findings[0].level == expected, "%s", text);
}

static void
test_apaches_workers_are_compared_with_the_streams(void **state)
{
    static const char shipped[] = "# 12:\nMaxRequestWorkers 150\n<Location \"/events\">\n"
                                  "  SetEnv ROWCAST_MAX_STREAMS 100\n</Location>\n";
    (void)state;

    assert_apache(shipped, 0, DOCTOR_OK);
    assert_apache("MaxRequestWorkers 150\n", 0, DOCTOR_WARNING);
    assert_apache("MaxRequestWorkers 150\n", 140, DOCTOR_OK);
    assert_apache("MaxRequestWorkers 150\n", 150, DOCTOR_WARNING);
    assert_apache("MaxRequestWorkers 150\nSetEnv ROWCAST_MAX_STREAMS \"900\"\n", 0,
                  DOCTOR_WARNING);
    assert_apache("MaxRequestWorkers 150\nSetEnv ROWCAST_MAX_STREAMS 900\n", 90, DOCTOR_OK);
    assert_apache("MaxRequestWorkers many\nSetEnv ROWCAST_MAX_STREAMS", 0, DOCTOR_WARNING);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_are_those_of_complete_blocks),
        cmocka_unit_test(test_rows_are_counted_and_the_probe_is_known),
        cmocka_unit_test(test_a_strangers_stream_has_bounds),
        cmocka_unit_test(test_a_good_way_has_no_fault),
        cmocka_unit_test(test_silence_is_a_buffer_only_if_health_answers),
        cmocka_unit_test(test_a_header_without_a_body_is_a_buffer),
        cmocka_unit_test(test_a_late_opening_is_reported),
        cmocka_unit_test(test_no_heartbeat_is_judged_by_the_wait),
        cmocka_unit_test(test_an_end_is_a_timeout_unless_rowcast_says_why),
        cmocka_unit_test(test_a_probe_that_is_late_or_lost),
        cmocka_unit_test(test_a_browser_gets_nothing_where_compression_waits),
        cmocka_unit_test(test_resuming_is_judged_by_rowcasts_own_answer),
        cmocka_unit_test(test_a_ticket_that_is_lost_on_the_way),
        cmocka_unit_test(test_http2_is_a_warning_where_it_is_narrow),
        cmocka_unit_test(test_an_event_stream_of_another_program),
        cmocka_unit_test(test_each_fault_has_a_remedy_for_each_server),
        cmocka_unit_test(test_words_from_outside_are_escaped_and_cut),
        cmocka_unit_test(test_lighttpds_settings_are_read_as_it_prints_them),
        cmocka_unit_test(test_lighttpd_1_4_79_prints_conditions_with_if),
        cmocka_unit_test(test_keys_that_lighttpd_does_not_know_are_a_problem),
        cmocka_unit_test(test_apaches_workers_are_compared_with_the_streams),
        cmocka_unit_test(test_a_constant_delay_is_reported),
        cmocka_unit_test(test_another_database_is_reported),
        cmocka_unit_test(test_access_is_reported_and_claims_are_problems),
    };

    return RUN(tests);
}
