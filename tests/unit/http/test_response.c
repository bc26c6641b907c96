/* test_response.c - response headers: CORS as the Fetch standard has it, Allow, HEAD, types. */
#include "config.h"

#include "http/response.h"

#include "../unit.h"

#define TEST_NAME "answer"

/* A line of its own on every stream, beside the Vary that CORS is about. */
#define VARY_ACCEPT "Vary: Accept"

#define SHOP "https://shop.example"
#define EVIL "https://evil.example"

/* --- reading an answer, as a web server does (RFC 3875 section 6) --------------------- */

/* The header block: lines that end in CRLF, then an empty one. */
static struct slice
headers_of(struct slice answer)
{
    for (size_t i = 0; i + 4 <= answer.len; i++) {
        if (memcmp(answer.p + i, "\r\n\r\n", 4) == 0)
            return (struct slice){answer.p, i + 2};
    }
    fail_msg("no empty line: [%.*s]", (int)answer.len, answer.p);
    return answer;
}

static struct slice
body_of(struct slice answer)
{
    size_t len = headers_of(answer).len + 2;

    return (struct slice){answer.p + len, answer.len - len};
}

/* The value of a header in out, or NULL. Twice the same header, a line without a colon or a bare
 * CR or LF fail the test. */
static const char *
header(struct slice answer, const char *name, char out[256])
{
    struct slice left = headers_of(answer);
    const char *found = NULL;

    while (left.len > 0) {
        const char *end = memchr(left.p, '\r', left.len);
        assert_non_null(end);
        assert_int_equal(end[1], '\n');
        size_t len = (size_t)(end - left.p);
        assert_null(memchr(left.p, '\n', len));
        const char *colon = memchr(left.p, ':', len);
        assert_non_null(colon);
        assert_int_equal(colon[1], ' ');
        size_t name_len = (size_t)(colon - left.p);
        bool is_format =
            len == strlen(VARY_ACCEPT) && memcmp(left.p, VARY_ACCEPT, len) == 0;
        if (!is_format && name_len == strlen(name) && memcmp(left.p, name, name_len) == 0) {
            assert_null(found);
            found = out;
            snprintf(out, 256, "%.*s", (int)(len - name_len - 2), colon + 2);
        }
        left.p += len + 2;
        left.len -= len + 2;
    }
    return found;
}

/* expected NULL: it is not there. */
static void
check_header(struct slice answer, const char *name, const char *expected)
{
    char value[256];
    const char *found = header(answer, name, value);

    if (expected == NULL)
        CHECK(found == NULL, "%s: %s\n", name, found);
    else
        CHECK(found != NULL && strcmp(found, expected) == 0, "%s: %s, not %s in\n%.*s\n",
              name, found == NULL ? "(none)" : found, expected, (int)answer.len, answer.p);
}

/* --- CORS ----------------------------------------------------------------------------- */

/* Fetch standard section 3.2.5 (CORS check): the origin must be "*" or the requester's, byte for
 * byte; with credentials it must be the requester's, and Allow-Credentials "true". And what
 * depends on Origin says so in Vary, for the sake of caches. */
static const struct {
    const char *origins[4];
    const char *origin;
    const char *allow;
    const char *credentials;
    const char *vary;
} cors[] = {
    {{NULL}, NULL, NULL, NULL, NULL},
    {{NULL}, SHOP, NULL, NULL, NULL},
    {{SHOP}, NULL, NULL, NULL, "Origin"},
    {{SHOP}, SHOP, SHOP, "true", "Origin"},
    {{SHOP}, EVIL, NULL, NULL, "Origin"},
    {{SHOP}, "null", NULL, NULL, "Origin"},
    {{SHOP}, "", NULL, NULL, "Origin"},
    {{SHOP}, SHOP ".evil.example", NULL, NULL, "Origin"},
    {{SHOP}, "https://shop.exampl", NULL, NULL, "Origin"},
    {{SHOP}, "http://shop.example", NULL, NULL, "Origin"},
    {{SHOP}, "https://shop.example:8443", NULL, NULL, "Origin"},
    {{SHOP}, "https://Shop.example", NULL, NULL, "Origin"},
    {{SHOP}, "*", NULL, NULL, "Origin"},
    {{SHOP}, SHOP "\r\nSet-Cookie: x=y", NULL, NULL, "Origin"},
    {{SHOP, "https://b.example"},
     "https://b.example",
     "https://b.example",
     "true",
     "Origin"},
    {{SHOP, "https://b.example"}, SHOP, SHOP, "true", "Origin"},
    {{"*"}, NULL, "*", NULL, "Origin"},
    {{"*"}, EVIL, "*", NULL, "Origin"},
    {{"*"}, "null", "*", NULL, "Origin"},
    {{"*"}, "*", "*", NULL, "Origin"},
    {{"*"}, EVIL "\r\nSet-Cookie: x=y", "*", NULL, "Origin"},
    {{"*", SHOP}, SHOP, SHOP, "true", "Origin"}, /* the exact one gets credentials */
    {{SHOP, "*"}, SHOP, SHOP, "true", "Origin"},
    {{"*", SHOP}, EVIL, "*", NULL, "Origin"},
    {{"null"}, "null", "null", NULL, "Origin"}, /* any site's sandboxed frame: no cookies */
    {{"null", SHOP}, SHOP, SHOP, "true", "Origin"},
};

static struct text_list
list_of(const char *const *origins)
{
    struct text_list list = {.count = 0};

    while (list.count < 4 && origins[list.count] != NULL) {
        list.items[list.count] = origins[list.count];
        list.count++;
    }
    return list;
}

static void
check_cors(struct slice answer, size_t i)
{
    check_header(answer, "Access-Control-Allow-Origin", cors[i].allow);
    check_header(answer, "Access-Control-Allow-Credentials", cors[i].credentials);
    check_header(answer, "Vary", cors[i].vary);
    check_header(answer, "Set-Cookie", NULL);
}

static struct request
request_from(const char *origin, enum request_method method)
{
    struct request request = {.method = method};

    request.origin = origin == NULL ? NULL : strdup(origin);
    return request;
}

static void
test_cors_headers_are_on_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cors); i++) {
        struct text_list origins = list_of(cors[i].origins);
        struct request request = request_from(cors[i].origin, METHOD_GET);
        struct buf buf = {0};
        response_append_stream_headers(&buf, &request, &origins);
        check_cors(buf_slice(&buf), i);
        buf_fini(&buf);
        request_fini(&request);
    }
}

/* Without them a page may not even learn why it was refused. */
static void
test_cors_headers_are_on_refusals_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cors); i++) {
        struct text_list origins = list_of(cors[i].origins);
        struct request request = request_from(cors[i].origin, METHOD_GET);
        struct buf buf = {0};
        response_append(&buf, &(struct response){.status = 403, .text = "not here"},
                        &request, &origins);
        check_cors(buf_slice(&buf), i);
        check_header(buf_slice(&buf), "Status", "403 Forbidden");
        buf_fini(&buf);
        request_fini(&request);
    }
}

/* What a preflight asks for. NULL: the header is not there. */
struct preflight {
    const char *method;
    const char *headers;
    bool is_allowed;
};

static const struct preflight preflights[] = {
    {"GET", NULL, true},
    {"GET", "", true},
    {"HEAD", NULL, true},
    {"GET", "last-event-id", true},
    {"GET", "Last-Event-ID", true},
    {"GET", "authorization,cache-control,last-event-id", true},
    {"GET", "accept , authorization,\tpragma,,", true}, /* RFC 9110 section 5.6.1 */
    {"GET", "accept,accept-language,content-language,content-type", true},
    {"GET", "x-anything", false},
    {"GET", "last-event-id,x-anything", false},
    {"GET", "x-anything,last-event-id", false},
    {"GET", "last-event", false},
    {"GET", "last-event-id-too", false},
    {"GET", "*", false},
    {"GET", "last-event-id\r\nSet-Cookie: x=y", false},
    {"DELETE", NULL, false},
    {"DELETE", "last-event-id", false},
    {"PUT", NULL, false},
    {"GE", NULL, false},
    {"get", NULL,
     false}, /* methods have case: browsers send "get" as GET, but "patch" as is */
    {"GETS", NULL, false},
};

static struct request
preflight_from(const char *origin, const struct preflight *preflight)
{
    struct request request = request_from(origin, METHOD_OPTIONS);

    request.cors_method = preflight->method == NULL ? NULL : strdup(preflight->method);
    request.cors_headers = preflight->headers == NULL ? NULL : strdup(preflight->headers);
    return request;
}

static void
check_leave(struct slice answer, bool is_given)
{
    char value[256];

    check_header(answer, "Access-Control-Allow-Methods",
                 is_given ? "GET, HEAD, OPTIONS" : NULL);
    check_header(answer, "Access-Control-Max-Age", is_given ? "600" : NULL);
    const char *names = header(answer, "Access-Control-Allow-Headers", value);
    assert_int_equal(names != NULL, is_given);
    if (!is_given)
        return;
    /* By name: "*" does not count with credentials, and never for Authorization. */
    assert_non_null(strstr(names, "Last-Event-ID"));
    assert_non_null(strstr(names, "Authorization"));
    assert_null(strchr(names, '*'));
}

static void
test_a_preflight_is_answered(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cors); i++) {
        struct text_list origins = list_of(cors[i].origins);
        struct request request = preflight_from(cors[i].origin, &preflights[0]);
        struct buf buf = {0};
        response_append_options(&buf, &request, &origins);
        struct slice answer = buf_slice(&buf);
        check_cors(answer, i);
        check_header(answer, "Status", "204 No Content"); /* an "ok status" (section 4.9) */
        check_header(answer, "Allow", "GET, HEAD, OPTIONS");
        assert_int_equal(body_of(answer).len, 0);
        check_leave(answer, cors[i].allow != NULL && cors[i].origin != NULL);
        buf_fini(&buf);
        request_fini(&request);
    }
}

static void
test_a_preflight_gets_leave_for_what_there_is_only(void **state)
{
    static const char *const lists[][2] = {{SHOP, NULL}, {"*", NULL}};

    (void)state;
    for (size_t i = 0; i < COUNT(preflights) * COUNT(lists); i++) {
        const struct preflight *preflight = &preflights[i / COUNT(lists)];
        struct text_list origins = {.items = {lists[i % COUNT(lists)][0]}, .count = 1};
        struct request request = preflight_from(SHOP, preflight);
        struct buf buf = {0};
        response_append_options(&buf, &request, &origins);
        struct slice answer = buf_slice(&buf);
        bool is_allowed = preflight->is_allowed;
        check_header(answer, "Status", "204 No Content");
        check_header(answer, "Vary", "Origin");
        check_header(answer, "Access-Control-Allow-Origin",
                     is_allowed ? origins.items[0][0] == '*' ? "*" : SHOP : NULL);
        check_header(answer, "Access-Control-Allow-Credentials",
                     is_allowed && origins.items[0][0] != '*' ? "true" : NULL);
        check_header(answer, "Set-Cookie", NULL);
        check_leave(answer, is_allowed);
        buf_fini(&buf);
        request_fini(&request);
    }
}

/* Fetch standard section 3.2.2: without Access-Control-Request-Method it is an OPTIONS like any
 * other, which may be read but gives no leave. */
static void
test_options_without_a_question_is_no_preflight(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cors); i++) {
        struct text_list origins = list_of(cors[i].origins);
        struct request request = request_from(cors[i].origin, METHOD_OPTIONS);
        struct buf buf = {0};
        response_append_options(&buf, &request, &origins);
        check_cors(buf_slice(&buf), i);
        check_header(buf_slice(&buf), "Allow", "GET, HEAD, OPTIONS");
        check_leave(buf_slice(&buf), false);
        buf_fini(&buf);
        request_fini(&request);
    }
}

/* --- streams -------------------------------------------------------------------------- */

static void
test_a_stream_has_its_type_and_is_not_held_back(void **state)
{
    static const char *const types[FORMATS] = {
        [FORMAT_SSE] = "text/event-stream; charset=utf-8",
        [FORMAT_ENVELOPE] = "text/event-stream; charset=utf-8",
        [FORMAT_NDJSON] = "application/x-ndjson",
        [FORMAT_JSON] = "application/json"};
    struct text_list none = {.count = 0};

    (void)state;
    for (int format = 0; format < FORMATS; format++) {
        struct request request = {.format = (enum format)format};
        struct buf buf = {0};
        response_append_stream_headers(&buf, &request, &none);
        struct slice answer = buf_slice(&buf);
        check_header(answer, "Content-Type", types[format]);
        assert_non_null(memmem(answer.p, answer.len, VARY_ACCEPT "\r\n", 14));
        check_header(answer, "Cache-Control", "no-cache, no-store, no-transform");
        check_header(answer, "X-Accel-Buffering", "no");
        check_header(answer, "X-Content-Type-Options", "nosniff");
        check_header(answer, "Content-Length", NULL);
        assert_int_equal(body_of(answer).len, 0);
        buf_fini(&buf);
    }
}

/* --- short answers -------------------------------------------------------------------- */

static void
test_each_status_has_its_name(void **state)
{
    static const struct {
        int status;
        const char *line;
    } cases[] = {{200, "200 OK"},
                 {201, "201 Created"},
                 {400, "400 Bad Request"},
                 {401, "401 Unauthorized"},
                 {403, "403 Forbidden"},
                 {404, "404 Not Found"},
                 {405, "405 Method Not Allowed"},
                 {406, "406 Not Acceptable"},
                 {411, "411 Length Required"},
                 {413, "413 Content Too Large"},
                 {415, "415 Unsupported Media Type"},
                 {500, "500 Internal Server Error"},
                 {503, "503 Service Unavailable"}};
    struct text_list none = {.count = 0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request = {.method = METHOD_GET};
        struct buf buf = {0};
        response_append(&buf,
                        &(struct response){.status = cases[i].status, .text = "one line"},
                        &request, &none);
        struct slice answer = buf_slice(&buf);
        check_header(answer, "Status", cases[i].line);
        check_header(answer, "Content-Type", "text/plain; charset=utf-8");
        check_header(answer, "Cache-Control", "no-store");
        check_header(answer, "X-Content-Type-Options", "nosniff");
        check_header(answer, "Allow", /* RFC 9110 section 15.5.6 */
                     cases[i].status == 405 ? "GET, HEAD, OPTIONS" : NULL);
        assert_true(slice_equal(body_of(answer), slice_of("one line\n")));
        buf_fini(&buf);
    }
}

static void
test_head_is_the_same_without_the_body(void **state)
{
    static const int statuses[] = {200, 404, 405, 503};
    struct text_list origins = {.items = {"*"}, .count = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct request get = {.method = METHOD_GET};
        struct request head = {.method = METHOD_HEAD};
        struct buf with = {0};
        struct buf without = {0};
        response_append(&with, &(struct response){.status = statuses[i], .text = "text"},
                        &get, &origins);
        response_append(&without, &(struct response){.status = statuses[i], .text = "text"},
                        &head, &origins);
        assert_int_equal(body_of(buf_slice(&without)).len, 0);
        assert_true(
            slice_equal(headers_of(buf_slice(&with)), headers_of(buf_slice(&without))));
        buf_fini(&with);
        buf_fini(&without);
    }
}

static void
test_a_body_comes_as_it_is(void **state)
{
    struct text_list none = {.count = 0};
    struct request request = {.method = METHOD_GET};
    struct slice body = {"a\0b\r\n\r\nc", 8};
    struct buf buf = {0};

    (void)state;
    response_append(
        &buf,
        &(struct response){.status = 200, .content_type = "application/json", .body = body},
        &request, &none);
    check_header(buf_slice(&buf), "Content-Type", "application/json");
    assert_true(slice_equal(body_of(buf_slice(&buf)), body));
    buf_fini(&buf);
}

static void
test_answers_are_appended(void **state)
{
    struct text_list none = {.count = 0};
    struct request request = {.method = METHOD_GET};
    struct buf buf = {0};

    (void)state;
    buf_append_text(&buf, "before");
    response_append(&buf, &(struct response){.status = 200, .text = "ok"}, &request, &none);
    assert_memory_equal(buf.p, "beforeStatus: 200", 17);
    buf_fini(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cors_headers_are_on_streams),
        cmocka_unit_test(test_cors_headers_are_on_refusals_too),
        cmocka_unit_test(test_a_preflight_is_answered),
        cmocka_unit_test(test_a_preflight_gets_leave_for_what_there_is_only),
        cmocka_unit_test(test_options_without_a_question_is_no_preflight),
        cmocka_unit_test(test_a_stream_has_its_type_and_is_not_held_back),
        cmocka_unit_test(test_each_status_has_its_name),
        cmocka_unit_test(test_head_is_the_same_without_the_body),
        cmocka_unit_test(test_a_body_comes_as_it_is),
        cmocka_unit_test(test_answers_are_appended),
    };

    return RUN(tests);
}
