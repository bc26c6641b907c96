/* test_publish.c - who may publish, from which page, and what a body comes to. */
#include "config.h"

#include "publish/check.h"

#include "../unit.h"

#define TEST_NAME "publish"

#define NOW_MS INT64_C(1763769600000)
#define FORM_TYPE "application/x-www-form-urlencoded"
#define JSON_TYPE "application/json"

static void
allow(struct patterns *patterns, bool *has, const char *pattern)
{
    *has = pattern != NULL;
    if (pattern != NULL && *pattern != '\0')
        assert_int_equal(patterns_add(patterns, slice_of(pattern)), PATTERNS_OK);
    assert_int_equal(patterns_compile(patterns, PATTERNS_GRANTED), PATTERNS_OK);
}

/* --- who ----------------------------------------------------------------------------- */

/* NULL: it says nothing of publishing; "": it says nothing may be. */
static void
test_each_that_speaks_must_match_and_one_must_speak(void **state)
{
    static const struct {
        const char *location, *ticket, *channel;
        bool allowed;
    } cases[] = {
        {NULL, NULL, "a", false},
        {"a", NULL, "a", true},
        {"a", NULL, "b", false},
        {"*", NULL, "b", true},
        {"", NULL, "a", false},
        {NULL, "a", "a", true},
        {NULL, "a", "b", false},
        {NULL, "", "a", false},
        {"a*", "*b", "ab", true},
        {"a*", "*b", "a", false},
        {"a*", "*b", "b", false},
        {"", "*", "a", false},
        {"*", "", "a", false},
        {"a.b", NULL, "a.*", false},
        {"a.*", NULL, "a.*", true},
        {"[a-c]x", NULL, "bx", true},
        {"[a-c]x", NULL, "[a-c]x", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request = {.method = METHOD_POST};
        allow(&request.publish, &request.has_publish, cases[i].location);
        allow(&request.ticket_publish, &request.has_ticket_publish, cases[i].ticket);
        CHECK(publish_allows(&request, slice_of(cases[i].channel)) == cases[i].allowed,
              "case %zu\n", i);
        request_fini(&request);
    }
}

static void
test_what_may_be_read_plays_no_part(void **state)
{
    struct request request = {.method = METHOD_POST};

    (void)state;
    request.filter.bounded[FILTER_BOUND_LOCATION] = true; /* to nothing */
    allow(&request.publish, &request.has_publish, "a");
    assert_true(publish_allows(&request, slice_of("a")));
    request_fini(&request);
}

/* --- from which page ------------------------------------------------------------------ */

static void
test_origins(void **state)
{
    static const struct text_list origins = {.items = {"https://shop.example", "*", "null"},
                                             .count = 3};
    static const struct {
        const char *origin, *host, *https, *site;
        int status;
    } cases[] = {
        {NULL, NULL, NULL, NULL, 0}, /* a program */
        {NULL, "h", NULL, NULL, 0},
        {"https://shop.example", "h", NULL, "cross-site", 0},
        {"HTTPS://shop.example", "h", NULL, NULL, 403}, /* no browser writes it so */
        {"https://shop.example/", "h", NULL, NULL, 403},
        {"http://shop.example", "h", NULL, NULL, 403},
        {"null", "null", NULL, NULL, 403},
        {"*", "*", NULL, NULL, 403},
        {"http://h", "h", NULL, NULL, 0},
        {"http://H:80", "h:80", NULL, NULL, 0},
        {"https://h", "h", NULL, NULL, 0},
        {"https://h", "h", "on", NULL, 0},
        {"https://h", "h", "1", NULL, 0},
        {"http://h", "h", "on", NULL, 403},
        {"http://h", "h", "off", NULL, 0},
        {"http://h", "h", "", NULL, 0},
        {"http://h", NULL, NULL, NULL, 403},
        {"http://", "", NULL, NULL, 403},
        {"h", "h", NULL, NULL, 403},
        {"file://h", "h", NULL, NULL, 403},
        {"http://h@evil", "h", NULL, NULL, 403},
        {"http://h.evil", "h", NULL, NULL, 403},
        {NULL, "h", NULL, "cross-site", 403},
        {NULL, "h", NULL, "same-site", 403},
        {NULL, "h", NULL, "", 403},
        {NULL, "h", NULL, "same-origin", 0},
        {NULL, "h", NULL, "none", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char origin[64] = "";
        struct request request = {.method = METHOD_POST};
        struct error error = {""};
        snprintf(origin, sizeof origin, "%s",
                 cases[i].origin != NULL ? cases[i].origin : "");
        request.origin = cases[i].origin != NULL ? origin : NULL;
        request.post.host = cases[i].host;
        request.post.https = cases[i].https;
        request.post.fetch_site = cases[i].site;
        CHECK(publish_check_origin(&request, &origins, &error) == cases[i].status,
              "case %zu: %s\n", i, error.text);
        assert_int_equal(*error.text != '\0', cases[i].status != 0);
    }
}

/* --- the body's frame ----------------------------------------------------------------- */

/* Judges a body that comes as it says; length NULL: as long as it is. */
static int
judge(const char *type, const char *length, struct slice bytes, struct publish_rows *rows,
      struct error *error)
{
    static const struct text_list none = {.count = 0};
    struct publish_rules rules = {&none, NOW_MS};
    struct request request = {.method = METHOD_POST};
    struct request_body body = {.came = bytes.len};
    char number[24];

    allow(&request.publish, &request.has_publish, "*");
    snprintf(number, sizeof number, "%zu", bytes.len);
    request.post.content_type = type;
    request.post.content_length = length != NULL ? length : number;
    buf_append(&body.bytes, bytes.p, bytes.len);
    error->text[0] = '\0';
    int status = publish_judge(&request, &rules, &body, rows, error);
    buf_fini(&body.bytes);
    request_fini(&request);
    return status;
}

static void
test_types(void **state)
{
    static const struct {
        const char *type;
        int status;
    } cases[] = {{JSON_TYPE, 0},
                 {"APPLICATION/Json", 0},
                 {JSON_TYPE ";charset=utf-8", 0},
                 {JSON_TYPE " ; Charset=\"UTF-8\" ; x=y", 0},
                 {JSON_TYPE ";", 0},
                 {JSON_TYPE "; charset=iso-8859-1", 415},
                 {JSON_TYPE "; charset=", 415},
                 {JSON_TYPE "; charset=utf-8; charset=latin1", 415},
                 {"application/jsonp", 415},
                 {"application/ld+json", 415},
                 {"text/plain", 415},
                 {"multipart/form-data; boundary=x", 415},
                 {"", 415},
                 {NULL, 415}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct publish_rows rows;
        struct error error;
        CHECK(judge(cases[i].type, NULL, slice_of("{\"data\":\"x\"}"), &rows, &error) ==
                  cases[i].status,
              "case %zu: %s\n", i, error.text);
        publish_rows_fini(&rows);
    }
}

static void
test_lengths(void **state)
{
    static const struct {
        const char *length;
        int status;
    } cases[] = {{"6", 0},
                 {"06", 0},
                 {"", 411},
                 {"5", 400},
                 {"7", 400},
                 {"0", 400},
                 {"-6", 400},
                 {"+6", 400},
                 {"6 ", 400},
                 {"0x6", 400},
                 {"65536", 400},
                 {"65537", 413},
                 {"99999999999999999999999", 413}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct publish_rows rows;
        struct error error;
        CHECK(judge(FORM_TYPE, cases[i].length, slice_of("data=x"), &rows, &error) ==
                  cases[i].status,
              "%s: %s\n", cases[i].length, error.text);
        publish_rows_fini(&rows);
    }
}

/* --- bodies --------------------------------------------------------------------------- */

static void
check_slice(struct slice got, const char *expected, const char *body)
{
    CHECK(slice_equal(got, slice_of(expected)), "%s: %.*s, not %s\n", body, (int)got.len,
          got.p != NULL ? got.p : "", expected != NULL ? expected : "NULL");
}

static void
test_a_row_is_what_the_body_says(void **state)
{
    static const struct {
        const char *type, *body;
        const char *channel, *event, *data, *to, *key;
        int64_t ttl_ms;
    } cases[] = {
        {FORM_TYPE, "data=", "default", NULL, "", NULL, NULL, 0},
        {FORM_TYPE, "data", "default", NULL, "", NULL, NULL, 0},
        {FORM_TYPE, "&&data=a+b%2B%26%C3%BC%0D%0A&", "default", NULL, "a b+&\xC3\xBC\r\n",
         NULL, NULL, 0},
        {FORM_TYPE, "ttl=2h&to=bob&collapse_key=k&event=paid&channel=a%2Db&d%61ta=x", "a-b",
         "paid", "x", "bob", "k", 7200000},
        {JSON_TYPE, "{\"data\":\"\"}", "default", NULL, "", NULL, NULL, 0},
        {JSON_TYPE, " {\"data\":{\"b\":[1,-0.5,1e3],\"a\":\"\\u00fc\\/\"},\"to\":null}\n",
         "default", NULL, "{\"b\":[1,-0.5,1000.0],\"a\":\"\xC3\xBC/\"}", NULL, NULL, 0},
        {JSON_TYPE, "{\"data\":0.1}", "default", NULL, "0.1", NULL, NULL, 0},
        {JSON_TYPE, "{\"data\":1.7976931348623157e308}", "default", NULL,
         "1.7976931348623157e+308", NULL, NULL, 0},
        {JSON_TYPE, "{\"data\":9223372036854775807}", "default", NULL,
         "9223372036854775807", NULL, NULL, 0},
        {JSON_TYPE, "{\"data\":[{},[],false,null]}", "default", NULL, "[{},[],false,null]",
         NULL, NULL, 0},
        {JSON_TYPE,
         "{\"data\":\"x\",\"channel\":\"x/y\",\"event\":\"opens\",\"to\":\"bob\","
         "\"collapse_key\":\"k\",\"ttl\":\"90s\"}",
         "x/y", "opens", "x", "bob", "k", 90000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct publish_rows rows;
        struct error error;
        struct row row;
        const char *body = cases[i].body;
        CHECK(judge(cases[i].type, NULL, slice_of(body), &rows, &error) == 0, "%s: %s\n",
              body, error.text);
        assert_int_equal(rows.count, 1);
        publish_rows_get(&rows, 0, &row);
        check_slice(row.channel, cases[i].channel, body);
        check_slice(row.event, cases[i].event, body);
        check_slice(row.data, cases[i].data, body);
        check_slice(row.recipient, cases[i].to, body);
        check_slice(row.collapse_key, cases[i].key, body);
        assert_int_equal(row.expires_at,
                         cases[i].ttl_ms == 0 ? 0 : NOW_MS + cases[i].ttl_ms);
        publish_rows_fini(&rows);
    }
}

static void
test_what_is_refused_is_named(void **state)
{
    static const struct {
        const char *type, *body, *words;
    } cases[] = {
        {FORM_TYPE, "", "field data: is missing"},
        {FORM_TYPE, "data=x&data=x", "field data: is given twice"},
        {FORM_TYPE, "Data=x", "unknown field \"Data\""},
        {FORM_TYPE, "data=x&event=", "field event: is empty"},
        {FORM_TYPE, "data=x&collapse_key=", "field collapse_key: is empty"},
        {FORM_TYPE, "data=x&event=rowcast:", "field event"},
        {FORM_TYPE, "data=x&ttl=0", "field ttl: \"0\""},
        {FORM_TYPE, "data=x&ttl=36501d", "field ttl"},
        {FORM_TYPE, "data=%0", "escape"},
        {FORM_TYPE, "data=%00", "NUL"},
        {FORM_TYPE, "data=%ED%A0%80", "not UTF-8"},
        {FORM_TYPE, "{\"data\":\"x\"}", "unknown field"},
        {JSON_TYPE, "data=x", "not JSON"},
        {JSON_TYPE, "\"x\"", "not JSON"},
        {JSON_TYPE, "{\"data\":NaN}", "not JSON"},
        {JSON_TYPE, "{\"data\":1e999}", "not JSON"},
        {JSON_TYPE, "{\"data\":99999999999999999999}", "not JSON"},
        {JSON_TYPE, "{\"data\":\"x\"}x", "line 1, column 13"},
        {JSON_TYPE, "{\"data\":{\"a\":1,\"a\":2}}", "duplicate object key"},
        {JSON_TYPE, "{\"data\":\"x\",\"event\":\"a\\nb\"}",
         "field event: holds a CR or LF"},
        {JSON_TYPE, "{\"data\":\"x\",\"to\":true}", "field to: is not a string"},
        {JSON_TYPE, "[{\"data\":\"x\"},[]]", "not a JSON object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct publish_rows rows;
        struct error error;
        CHECK(judge(cases[i].type, NULL, slice_of(cases[i].body), &rows, &error) == 400,
              "%s\n", cases[i].body);
        CHECK(strstr(error.text, cases[i].words) != NULL, "%s: %s\n", cases[i].body,
              error.text);
        publish_rows_fini(&rows);
    }
}

/* `count` objects in an array. */
static int
judge_array(size_t count, struct publish_rows *rows, struct error *error)
{
    struct buf body = {0};

    for (size_t i = 0; i < count; i++)
        buf_printf(&body, "%s{\"data\":\"%zu\"}", i == 0 ? "[" : ",", i);
    buf_append_text(&body, "]");
    int status = judge(JSON_TYPE, NULL, buf_slice(&body), rows, error);
    buf_fini(&body);
    return status;
}

static void
test_an_array_has_at_most_1000_rows_in_its_order(void **state)
{
    struct publish_rows rows;
    struct error error;

    (void)state;
    assert_int_equal(judge_array(PUBLISH_ROWS_MAX, &rows, &error), 0);
    assert_int_equal(rows.count, PUBLISH_ROWS_MAX);
    for (size_t i = 0; i < rows.count; i++) {
        struct row row;
        char expected[24];
        snprintf(expected, sizeof expected, "%zu", i);
        publish_rows_get(&rows, i, &row);
        check_slice(row.data, expected, "the array");
    }
    publish_rows_fini(&rows);
    assert_int_equal(judge_array(PUBLISH_ROWS_MAX + 1, &rows, &error), 400);
    assert_non_null(strstr(error.text, "more than 1000 rows"));
    publish_rows_fini(&rows);
}

static void
test_nesting_is_bounded(void **state)
{
    struct buf body = {0};
    struct publish_rows rows;
    struct error error;

    (void)state;
    buf_append_text(&body, "{\"data\":");
    for (int i = 0; i < 30000; i++)
        buf_append_text(&body, "[");
    for (int i = 0; i < 30000; i++)
        buf_append_text(&body, "]");
    buf_append_text(&body, "}");
    assert_int_equal(judge(JSON_TYPE, NULL, buf_slice(&body), &rows, &error), 400);
    publish_rows_fini(&rows);
    buf_fini(&body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_that_speaks_must_match_and_one_must_speak),
        cmocka_unit_test(test_what_may_be_read_plays_no_part),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_a_row_is_what_the_body_says),
        cmocka_unit_test(test_what_is_refused_is_named),
        cmocka_unit_test(test_an_array_has_at_most_1000_rows_in_its_order),
        cmocka_unit_test(test_nesting_is_bounded),
    };

    return RUN(tests);
}
