/* test_request.c - what the web server says, to a request or a refusal. */
#include "config.h"

#include "http/request.h"

#include "../unit.h"

#define TEST_NAME "request"

#define ENV_MAX 16

/* Parses with REQUEST_METHOD=GET and the variables given, each "NAME=value", ended by NULL. */
static int
parse_env(struct request *request, struct error *error, const char *const *more)
{
    const char *envp[ENV_MAX] = {"REQUEST_METHOD=GET"};
    size_t count = 1;

    for (; *more != NULL; more++) {
        assert_true(count < ENV_MAX - 1);
        envp[count++] = *more;
    }
    error->text[0] = '\0';
    return request_parse(request, envp, NULL, error);
}

#define PARSE(request, error, ...)                                                         \
    parse_env(request, error, (const char *const[]){__VA_ARGS__, NULL})

static int
parse_query_string(struct request *request, struct error *error, const char *query)
{
    char variable[REQUEST_QUERY_MAX + 64];

    snprintf(variable, sizeof variable, "QUERY_STRING=%s", query);
    return PARSE(request, error, variable);
}

/* --- resources and methods ----------------------------------------------------------- */

static void
test_path_picks_the_resource(void **state)
{
    static const struct {
        const char *path;
        int status;
        enum request_resource resource;
    } cases[] = {
        {"PATH_INFO=", 0, RESOURCE_STREAM},
        {"PATH_INFO=/", 0, RESOURCE_STREAM},
        {"PATH_INFO=/health", 0, RESOURCE_HEALTH},
        {"PATH_INFO=/health/", 0, RESOURCE_HEALTH},
        {"PATH_INFO=/metrics", 0, RESOURCE_METRICS},
        {"PATH_INFO=/status/", 0, RESOURCE_STATUS},
        {"PATH_INFO=/whoami", 0, RESOURCE_WHOAMI},
        {"PATH_INFO=/Health", 404, RESOURCE_STREAM},
        {"PATH_INFO=/health/x", 404, RESOURCE_STREAM},
        {"PATH_INFO=/health//", 404, RESOURCE_STREAM},
        {"PATH_INFO=health", 404, RESOURCE_STREAM},
        {"PATH_INFO=/healthy", 404, RESOURCE_STREAM},
        {"PATH_INFO=/favicon.ico", 404, RESOURCE_STREAM},
        {"UNRELATED=1", 0, RESOURCE_STREAM},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request;
        struct error error;
        int status = PARSE(&request, &error, cases[i].path);
        CHECK(status == cases[i].status, "%s\n", cases[i].path);
        CHECK(request.resource == cases[i].resource, "%s\n", cases[i].path);
        request_fini(&request);
    }
}

static void
test_only_known_methods_are_allowed(void **state)
{
    static const struct {
        const char *method;
        int status;
        enum request_method expected;
    } cases[] = {{"REQUEST_METHOD=GET", 0, METHOD_GET},
                 {"REQUEST_METHOD=HEAD", 0, METHOD_HEAD},
                 {"REQUEST_METHOD=OPTIONS", 0, METHOD_OPTIONS},
                 {"REQUEST_METHOD=POST", 0, METHOD_POST},
                 {"REQUEST_METHOD=PUT", 405, METHOD_GET},
                 {"REQUEST_METHOD=get", 405, METHOD_GET},
                 {"REQUEST_METHOD=", 405, METHOD_GET},
                 {"NO_METHOD=1", 405, METHOD_GET}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *envp[] = {cases[i].method, "HTTP_ORIGIN=https://a", NULL};
        struct request request;
        struct error error;
        CHECK(request_parse(&request, envp, NULL, &error) == cases[i].status, "%s\n",
              cases[i].method);
        assert_int_equal(request.method, cases[i].expected);
        assert_string_equal(request.origin, "https://a");
        if (cases[i].status != 0)
            assert_non_null(strstr(error.text, "GET, HEAD and OPTIONS"));
        request_fini(&request);
    }
}

static void
test_a_preflight_is_not_judged_by_its_query(void **state)
{
    const char *envp[] = {"REQUEST_METHOD=OPTIONS",
                          "QUERY_STRING=last=x",
                          "HTTP_ACCEPT=image/png",
                          "HTTP_ACCESS_CONTROL_REQUEST_METHOD=GET",
                          "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=last-event-id",
                          NULL};
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(request_parse(&request, envp, NULL, &error), 0);
    assert_string_equal(request.cors_method, "GET");
    assert_string_equal(request.cors_headers, "last-event-id");
    request_fini(&request);
}

/* --- what the web server grants ------------------------------------------------------ */

static void
test_nothing_from_the_client_grants_anything(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(PARSE(&request, &error, "HTTP_REMOTE_USER=root",
                           "HTTP_ROWCAST_ADMIN=1", "HTTP_ROWCAST_CHANNELS=*",
                           "REMOTE_USER_X=root", "REMOTE_IDENT=root",
                           "REDIRECT_REMOTE_USER=root", "HTTP_X_REMOTE_USER=root",
                           "HTTP_AUTHORIZATION=Basic cm9vdDpy",
                           "QUERY_STRING=_REMOTE_USER=root&_user=root"),
                     0);
    assert_null(request.filter.user);
    assert_false(request.admin);
    assert_false(request.filter.bounded[FILTER_BOUND_LOCATION]);
    request_fini(&request);
}

static void
test_server_variables_grant(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(PARSE(&request, &error, "REMOTE_USER=alice", "REMOTE_ADDR=::1",
                           "ROWCAST_ADMIN=1", "ROWCAST_CHANNELS=  b.*  a b.* ",
                           "HTTP_ORIGIN=null"),
                     0);
    assert_string_equal(request.filter.user, "alice");
    assert_string_equal(request.address, "::1");
    assert_string_equal(request.origin, "null");
    assert_true(request.admin);
    assert_true(request.filter.bounded[FILTER_BOUND_LOCATION]);
    assert_false(request.filter.bounded[FILTER_BOUND_TICKET]);
    const struct patterns *bound = &request.filter.bounds[FILTER_BOUND_LOCATION];
    assert_int_equal(bound->count, 2);
    assert_string_equal(bound->items[0], "a");
    assert_string_equal(bound->items[1], "b.*");
    request_fini(&request);
}

static void
test_empty_server_variables_grant_nothing(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(PARSE(&request, &error, "REMOTE_USER=", "ROWCAST_ADMIN=",
                           "ROWCAST_CHANNELS=", "REMOTE_ADDR=", "HTTP_ORIGIN="),
                     0);
    assert_null(request.filter.user);
    assert_null(request.address);
    assert_null(request.origin);
    assert_false(request.admin);
    assert_true(request.filter.bounded[FILTER_BOUND_LOCATION]);
    assert_false(filter_matches(&request.filter, slice_of("any"), slice_of(NULL)));
    request_fini(&request);
}

static void
test_admin_is_exactly_1(void **state)
{
    static const char *const values[] = {"ROWCAST_ADMIN=0", "ROWCAST_ADMIN=yes",
                                         "ROWCAST_ADMIN=11", "ROWCAST_ADMIN= 1"};

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        struct request request;
        struct error error;
        assert_int_equal(PARSE(&request, &error, values[i]), 0);
        assert_false(request.admin);
        request_fini(&request);
    }
}

static void
test_a_grant_given_twice_must_agree(void **state)
{
    static const struct {
        const char *first, *second;
        int status;
    } cases[] = {
        {"REMOTE_USER=alice", "REMOTE_USER=alice", 0},
        {"REMOTE_USER=alice", "REMOTE_USER=bob", 500},
        {"REMOTE_USER=", "REMOTE_USER=bob", 500},
        {"ROWCAST_CHANNELS=a", "ROWCAST_CHANNELS=*", 500},
        {"ROWCAST_CHANNELS=*", "ROWCAST_CHANNELS=*", 0},
        {"ROWCAST_ADMIN=1", "ROWCAST_ADMIN=0", 500},
        {"ROWCAST_PUBLISH=a", "ROWCAST_PUBLISH=*", 500},
        {"ROWCAST_PUBLISH=", "ROWCAST_PUBLISH=*", 500},
        {"HTTP_ORIGIN=https://a", "HTTP_ORIGIN=https://b", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request;
        struct error error;
        int status = PARSE(&request, &error, cases[i].first, cases[i].second);
        CHECK(status == cases[i].status, "%s %s\n", cases[i].first, cases[i].second);
        if (status != 0)
            assert_null(request.filter.user);
        request_fini(&request);
    }
}

static void
test_a_bound_that_cannot_be_read_is_an_error(void **state)
{
    char variable[FILTER_PATTERN_MAX + 64] = "ROWCAST_CHANNELS=";
    struct request request;
    struct error error;

    (void)state;
    memset(variable + 17, 'x', FILTER_PATTERN_MAX + 1);
    assert_int_equal(PARSE(&request, &error, variable), 500);
    assert_string_equal(
        error.text, "ROWCAST_CHANNELS: a pattern of 257 bytes is longer than 256 bytes");
    request_fini(&request);
}

/* --- query parameters ---------------------------------------------------------------- */

static void
test_bad_parameters_are_named(void **state)
{
    static const struct {
        const char *query, *text;
    } cases[] = {
        {"last=x", "bad parameter last: \"x\" is not a number from 1 to 1000"},
        {"last=0", "bad parameter last: \"0\" is not a number from 1 to 1000"},
        {"last=1001", "bad parameter last: \"1001\" is not a number from 1 to 1000"},
        {"last=", "bad parameter last: \"\" is not a number from 1 to 1000"},
        {"last", "bad parameter last: \"\" is not a number from 1 to 1000"},
        {"last=+5", "bad parameter last: \" 5\" is not a number from 1 to 1000"},
        {"last=99999999999999999999",
         "bad parameter last: \"99999999999999999999\" is not a number from 1 to 1000"},
        {"ping=yes", "bad parameter ping: \"yes\" is not 0 or 1"},
        {"envelope=2", "bad parameter envelope: \"2\" is not 0 or 1"},
        {"throttle=3600001", "bad parameter throttle: \"3600001\" is not a number of "
                             "milliseconds from 0 to 3600000"},
        {"wait=61", "bad parameter wait: \"61\" is not a number of seconds from 0 to 60"},
        {"wait=5", "bad parameter wait: needs Accept: application/json"},
        {"wait=0", "bad parameter wait: needs Accept: application/json"},
        {"since=yesterday",
         "bad parameter since: \"yesterday\" is not all, an id, or an age "
         "such as 90s, 10m, 2h, 7d"},
        {"since=36501d",
         "bad parameter since: \"36501d\" is not all, an id, or an age such as "
         "90s, 10m, 2h, 7d"},
        {"since=",
         "bad parameter since: \"\" is not all, an id, or an age such as 90s, 10m, "
         "2h, 7d"},
        {"since=all&last=5", "bad parameter since: cannot be together with last"},
        {"last=5&last=5", "bad parameter last: is given twice"},
        {"last_event_id=5&lastEventId=6", "bad parameter lastEventId: is given twice"},
        {"ticket=a&ticket=b", "bad parameter ticket: is given twice"},
        {"ticket=", "bad parameter ticket: is empty"},
        {"chanel=a", "unknown parameter \"chanel\": did you mean channel?"},
        {"Channel=a", "unknown parameter \"Channel\": did you mean channel?"},
        {"lasteventid=5", "unknown parameter \"lasteventid\": did you mean lastEventId?"},
        {"pin=1", "unknown parameter \"pin\": did you mean ping?"},
        {"user=root", "unknown parameter \"user\": leave it out, or let its name begin "
                      "with _"},
        {"utm%ZZ=1", "a parameter's name has a broken % escape or a NUL in it"},
        {"channel%00=a", "a parameter's name has a broken % escape or a NUL in it"},
        {"client=", "bad parameter client: is not 1 to 64 visible ASCII characters"},
        {"client=a+b", "bad parameter client: is not 1 to 64 visible ASCII characters"},
        {"client=%C3%A9", "bad parameter client: is not 1 to 64 visible ASCII characters"},
        {"client=a&client=a", "bad parameter client: is given twice"},
        {"channel=", "bad parameter channel: \"\" is empty"},
        {"channel", "bad parameter channel: \"\" is empty"},
        {"channel=a%0Ab", "bad parameter channel: \"a\\x0ab\" holds a NUL, CR or LF"},
        {"channel=%FF", "bad parameter channel: \"\\xff\" is not UTF-8"},
        {"channel=%ED%A0%80", "bad parameter channel: \"\\xed\\xa0\\x80\" is not UTF-8"},
        {"channel=a%00b", "bad parameter channel: has a broken % escape or a NUL in it"},
        {"channel=a%2", "bad parameter channel: has a broken % escape or a NUL in it"},
        {"channel=a%", "bad parameter channel: has a broken % escape or a NUL in it"},
        {"channel=%zz", "bad parameter channel: has a broken % escape or a NUL in it"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request;
        struct error error;
        CHECK(parse_query_string(&request, &error, cases[i].query) == 400, "%s\n",
              cases[i].query);
        assert_string_equal(error.text, cases[i].text);
        request_fini(&request);
    }
}

static void
test_good_parameters_are_taken(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(
        parse_query_string(
            &request, &error,
            "channel=orders.*&channel=caf%C3%A9+bar&&ping=1&throttle=250&"
            "ticket=a.b%2Bc&chann%65l=x%26y%3D&_=123&nocache=1&last=5&client=tab-7%2Ba"),
        0);
    assert_int_equal(request.filter.requested.count, 3);
    assert_string_equal(request.filter.requested.items[0], "caf\xC3\xA9 bar");
    assert_string_equal(request.filter.requested.items[1], "orders.*");
    assert_string_equal(request.filter.requested.items[2], "x&y=");
    assert_true(request.ping);
    assert_int_equal(request.throttle_ms, 250);
    assert_string_equal(request.ticket, "a.b+c");
    assert_string_equal(request.client, "tab-7+a");
    assert_int_equal(request.start, START_LAST);
    assert_int_equal(request.start_value, 5);
    assert_int_equal(request.format, FORMAT_SSE);
    request_fini(&request);
}

static void
test_channels_have_limits(void **state)
{
    char query[REQUEST_QUERY_MAX] = "";
    struct request request;
    struct error error;

    (void)state;
    for (int i = 0; i < FILTER_PATTERNS_MAX; i++)
        snprintf(query + strlen(query), 32, "channel=c%d&", i);
    assert_int_equal(parse_query_string(&request, &error, query), 0);
    assert_int_equal(request.filter.requested.count, FILTER_PATTERNS_MAX);
    request_fini(&request);

    strcat(query, "channel=more");
    assert_int_equal(parse_query_string(&request, &error, query), 400);
    assert_string_equal(error.text,
                        "bad parameter channel: \"more\" is one too many: at most 64");
    request_fini(&request);

    query[0] = '\0';
    for (int i = 0; i < FILTER_ASKED_GLOBS_MAX; i++)
        snprintf(query + strlen(query), 32, "channel=c%d*&", i);
    assert_int_equal(parse_query_string(&request, &error, query), 0);
    request_fini(&request);
    strcat(query, "channel=more*");
    assert_int_equal(parse_query_string(&request, &error, query), 400);
    assert_string_equal(error.text,
                        "bad parameter channel: more than 16 patterns (names with *, ? or "
                        "[): name the channels, or give fewer patterns that match more");
    request_fini(&request);

    memset(query, 'x', 8 + FILTER_PATTERN_MAX);
    memcpy(query, "channel=", 8);
    query[8 + FILTER_PATTERN_MAX] = '\0';
    assert_int_equal(parse_query_string(&request, &error, query), 0);
    request_fini(&request);
    strcat(query, "x");
    assert_int_equal(parse_query_string(&request, &error, query), 400);
    request_fini(&request);
}

static void
test_a_query_string_has_a_cap(void **state)
{
    char query[REQUEST_QUERY_MAX + 2];
    struct request request;
    struct error error;

    (void)state;
    memset(query, 'x', sizeof query);
    query[0] = '_';
    query[REQUEST_QUERY_MAX] = '\0';
    assert_int_equal(parse_query_string(&request, &error, query), 0);
    request_fini(&request);
    query[REQUEST_QUERY_MAX] = 'x';
    query[REQUEST_QUERY_MAX + 1] = '\0';
    assert_int_equal(parse_query_string(&request, &error, query), 400);
    request_fini(&request);
}

static void
test_other_resources_have_no_parameters(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(
        PARSE(&request, &error, "PATH_INFO=/health", "QUERY_STRING=last=x&channel=%"), 0);
    request_fini(&request);
}

/* --- where a stream starts ----------------------------------------------------------- */

static void
test_where_a_stream_starts(void **state)
{
    static const struct {
        const char *header, *query;
        enum start_kind start;
        int64_t value;
        const char *text;
    } cases[] = {
        {"", "", START_TAIL, 0, ""},
        {"", "since=all", START_ALL, 0, ""},
        {"", "since=90s", START_AGE, 90000, ""},
        {"", "since=7d", START_AGE, 604800000, ""},
        {"", "since=42", START_AFTER, 42, "42"},
        {"", "since=0", START_AFTER, 0, "0"},
        {"", "last=1000", START_LAST, 1000, ""},
        {"", "last_event_id=42", START_AFTER, 42, "42"},
        {"", "lastEventId=42", START_AFTER, 42, "42"},
        {"", "last_event_id=", START_TAIL, 0, ""},
        {"", "last_event_id=&since=all", START_ALL, 0, ""},
        {"", "last_event_id=42&since=all", START_AFTER, 42, "42"},
        {"", "last_event_id=42&last=3", START_AFTER, 42, "42"},
        {"", "last_event_id=abc", START_BAD_ID, 0, "abc"},
        {"7", "", START_AFTER, 7, "7"},
        {"7", "last_event_id=42&since=9", START_AFTER, 7, "7"},
        {"7", "last=10", START_AFTER, 7, "7"},
        {"007", "", START_AFTER, 7, "007"},
        {"-7", "", START_BAD_ID, 0, "-7"},
        {"99999999999999999999", "", START_AFTER, INT64_MAX, "99999999999999999999"},
        {"7 ", "", START_AFTER, 7, "7"},
        {"5, 9", "", START_AFTER, 9, "9"},
        {"9,5", "", START_AFTER, 9, "9"},
        {"9, 5, 7 ", "", START_AFTER, 9, "9"},
        {", 5,,", "", START_AFTER, 5, "5"},
        {",", "", START_TAIL, 0, ""},
        {"x, 5", "", START_AFTER, 5, "5"},
        {"5, x", "", START_AFTER, 5, "5"},
        {"x, -1", "", START_BAD_ID, 0, "x"},
        {"5 9", "", START_BAD_ID, 0, "5 9"},
        {"", "last_event_id=5,9", START_AFTER, 9, "9"},
        {"1e3", "since=all", START_BAD_ID, 0, "1e3"},
        {"\xE2\x98\x83", "", START_BAD_ID, 0, "\xE2\x98\x83"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char header[128], query[128];
        struct request request;
        struct error error;
        snprintf(header, sizeof header, "HTTP_LAST_EVENT_ID=%s", cases[i].header);
        snprintf(query, sizeof query, "QUERY_STRING=%s", cases[i].query);
        CHECK(PARSE(&request, &error, header, query) == 0, "case %zu: %s\n", i, error.text);
        CHECK(request.start == cases[i].start, "case %zu\n", i);
        CHECK(request.start_value == cases[i].value, "case %zu\n", i);
        assert_string_equal(request.start_text, cases[i].text);
        request_fini(&request);
    }
}

static void
test_a_long_bad_id_is_cut(void **state)
{
    char header[512] = "HTTP_LAST_EVENT_ID=";
    struct request request;
    struct error error;

    (void)state;
    memset(header + strlen(header), 'z', 300);
    assert_int_equal(PARSE(&request, &error, header), 0);
    assert_int_equal(request.start, START_BAD_ID);
    assert_int_equal(strlen(request.start_text), GAP_ID_TEXT_MAX);
    request_fini(&request);
}

/* Two headers arrive as two variables where the web server does not join them. */
static void
test_of_two_headers_the_higher_id_counts(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(PARSE(&request, &error, "HTTP_LAST_EVENT_ID=5", "HTTP_LAST_EVENT_ID=x",
                           "HTTP_LAST_EVENT_ID=9, 8", "HTTP_LAST_EVENT_ID=7"),
                     0);
    assert_int_equal(request.start, START_AFTER);
    assert_int_equal(request.start_value, 9);
    request_fini(&request);
}

/* The answer has the type that the client named. */
static void
test_the_type_is_the_one_that_was_asked_for(void **state)
{
    static const char *const types[] = {"application/jsonl", "application/ndjson",
                                        "application/x-ndjson", "application/json"};
    struct request request;
    struct error error;
    char accept[64];

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        snprintf(accept, sizeof accept, "HTTP_ACCEPT=%s", types[i]);
        assert_int_equal(PARSE(&request, &error, accept), 0);
        assert_string_equal(request.media_type, types[i]);
        request_fini(&request);
    }
}

/* --- Accept -------------------------------------------------------------------------- */

#define CHROME_ACCEPT                                                                      \
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/"   \
    "apng,"                                                                                \
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"

static void
test_accept_picks_the_format(void **state)
{
    static const struct {
        const char *accept;
        int status;
        enum format format;
    } cases[] = {
        {"", 0, FORMAT_SSE},
        {"  ", 0, FORMAT_SSE},
        {"*/*", 0, FORMAT_SSE},
        {"text/*", 0, FORMAT_SSE},
        {"text/event-stream", 0, FORMAT_SSE},
        {"Text/Event-Stream; charset=utf-8", 0, FORMAT_SSE},
        {CHROME_ACCEPT, 0, FORMAT_SSE},
        {"application/json", 0, FORMAT_JSON},
        {"application/json, text/plain, */*", 0, FORMAT_JSON},
        {"application/*", 0, FORMAT_JSON},
        {"application/x-ndjson", 0, FORMAT_NDJSON},
        {"application/ndjson", 0, FORMAT_NDJSON},
        {"application/jsonl;q=0.9, text/event-stream;q=0.1", 0, FORMAT_NDJSON},
        {"application/x-ndjson, application/json", 0, FORMAT_NDJSON},
        {"application/json, application/x-ndjson", 0, FORMAT_JSON},
        {"application/json;q=0.5, application/x-ndjson", 0, FORMAT_NDJSON},
        {"application/json;q=0.5, application/x-ndjson;q=0.25", 0, FORMAT_JSON},
        {"application/json;q=0.001, */*;q=0", 0, FORMAT_JSON},
        {"text/event-stream;q=0, */*", 0, FORMAT_JSON},
        {"text/event-stream ; Q=0.2 , application/json ; q=0.3", 0, FORMAT_JSON},
        {"text/x;p=\"a,b;q=0\", application/x-ndjson", 0, FORMAT_NDJSON},
        {"application/json;q=2, */*;q=0.1", 0, FORMAT_SSE},
        {"nonsense, application/json", 0, FORMAT_JSON},
        {",, ,application/json,", 0, FORMAT_JSON},
        {"text/html", 406, FORMAT_SSE},
        {"image/png", 406, FORMAT_SSE},
        {"*/*;q=0", 406, FORMAT_SSE},
        {"application/jsonp", 406, FORMAT_SSE},
        {"application/json;q=0", 406, FORMAT_SSE},
        {"nonsense", 406, FORMAT_SSE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char variable[512];
        struct request request;
        struct error error;
        snprintf(variable, sizeof variable, "HTTP_ACCEPT=%s", cases[i].accept);
        int status = PARSE(&request, &error, variable);
        CHECK(status == cases[i].status, "%s: %d\n", cases[i].accept, status);
        CHECK(request.format == cases[i].format, "%s: %d\n", cases[i].accept,
              request.format);
        if (status == 406) {
            assert_non_null(strstr(error.text, "text/event-stream"));
            assert_non_null(strstr(error.text, "application/x-ndjson"));
            assert_non_null(strstr(error.text, "application/json"));
        }
        request_fini(&request);
    }
}

static void
test_envelope_and_wait_go_with_their_format(void **state)
{
    struct request request;
    struct error error;

    (void)state;
    assert_int_equal(PARSE(&request, &error, "QUERY_STRING=envelope=1"), 0);
    assert_int_equal(request.format, FORMAT_ENVELOPE);
    request_fini(&request);
    assert_int_equal(PARSE(&request, &error, "QUERY_STRING=envelope=0"), 0);
    assert_int_equal(request.format, FORMAT_SSE);
    request_fini(&request);
    assert_int_equal(PARSE(&request, &error, "QUERY_STRING=envelope=1&wait=60",
                           "HTTP_ACCEPT=application/json"),
                     0);
    assert_int_equal(request.format, FORMAT_JSON);
    assert_int_equal(request.wait_s, 60);
    request_fini(&request);
    assert_int_equal(
        PARSE(&request, &error, "QUERY_STRING=wait=5", "HTTP_ACCEPT=application/x-ndjson"),
        400);
    request_fini(&request);
}

static void
test_status_is_html_for_browsers_and_never_406(void **state)
{
    static const struct {
        const char *accept;
        bool html;
    } cases[] = {{"HTTP_ACCEPT=" CHROME_ACCEPT, true},
                 {"HTTP_ACCEPT=*/*", false},
                 {"HTTP_ACCEPT=", false},
                 {"HTTP_ACCEPT=application/json", false},
                 {"HTTP_ACCEPT=application/json, text/html", false},
                 {"HTTP_ACCEPT=text/html, application/json", true},
                 {"HTTP_ACCEPT=text/html;q=0.5, application/json;q=0.6", false},
                 {"HTTP_ACCEPT=image/png", false}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request;
        struct error error;
        assert_int_equal(PARSE(&request, &error, "PATH_INFO=/status", cases[i].accept), 0);
        CHECK(request.wants_html == cases[i].html, "%s\n", cases[i].accept);
        request_fini(&request);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_picks_the_resource),
        cmocka_unit_test(test_only_known_methods_are_allowed),
        cmocka_unit_test(test_a_preflight_is_not_judged_by_its_query),
        cmocka_unit_test(test_nothing_from_the_client_grants_anything),
        cmocka_unit_test(test_server_variables_grant),
        cmocka_unit_test(test_empty_server_variables_grant_nothing),
        cmocka_unit_test(test_admin_is_exactly_1),
        cmocka_unit_test(test_a_grant_given_twice_must_agree),
        cmocka_unit_test(test_a_bound_that_cannot_be_read_is_an_error),
        cmocka_unit_test(test_bad_parameters_are_named),
        cmocka_unit_test(test_good_parameters_are_taken),
        cmocka_unit_test(test_channels_have_limits),
        cmocka_unit_test(test_a_query_string_has_a_cap),
        cmocka_unit_test(test_other_resources_have_no_parameters),
        cmocka_unit_test(test_where_a_stream_starts),
        cmocka_unit_test(test_of_two_headers_the_higher_id_counts),
        cmocka_unit_test(test_the_type_is_the_one_that_was_asked_for),
        cmocka_unit_test(test_a_long_bad_id_is_cut),
        cmocka_unit_test(test_accept_picks_the_format),
        cmocka_unit_test(test_envelope_and_wait_go_with_their_format),
        cmocka_unit_test(test_status_is_html_for_browsers_and_never_406),
    };
    return RUN(tests);
}
