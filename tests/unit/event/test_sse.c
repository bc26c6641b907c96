/* test_sse.c - rows and our own words in every format, byte for byte. */
#include "config.h"

#include "event/sse.h"

#include <jansson.h>

#include "base/json.h"

#include "../unit.h"

#define TEST_NAME "sse"

#define U_FFFD "\xEF\xBF\xBD"
#define LIMIT 1048576

static struct slice
bytes(const char *text, size_t len)
{
    return (struct slice){text, len};
}

static void
check_buf(struct buf *buf, const char *expected, size_t len)
{
    assert_false(buf->failed);
    if (buf->len != len || memcmp(buf_slice(buf).p, expected, len) != 0)
        print_error("got [%.*s]\nnot [%.*s]\n", (int)buf->len, buf_slice(buf).p, (int)len,
                    expected);
    assert_int_equal(buf->len, len);
    assert_memory_equal(buf_slice(buf).p, expected, len);
    buf_fini(buf);
}

static struct row
make_row(void)
{
    return (struct row){.id = 7,
                        .created_at = INT64_C(1763769600058),
                        .channel = slice_of("orders"),
                        .event = slice_of("paid"),
                        .data = slice_of("{\"id\":7}"),
                        .data_bytes = 8};
}

static void
check_row(enum format format, const struct row *row, const char *expected)
{
    struct buf buf = {0};

    sse_append_row(&buf, format, row, LIMIT);
    check_buf(&buf, expected, strlen(expected));
}

static void
test_a_row_in_each_format(void **state)
{
    static const char object[] =
        "{\"id\":\"7\",\"channel\":\"orders\",\"event\":\"paid\","
        "\"data\":\"{\\\"id\\\":7}\",\"created_at\":1763769600058}";
    struct row row = make_row();
    char text[512];

    (void)state;
    check_row(FORMAT_SSE, &row, "id: 7\nevent: paid\ndata: {\"id\":7}\n\n");
    check_row(FORMAT_JSON, &row, object);
    snprintf(text, sizeof text, "%s\n", object);
    check_row(FORMAT_NDJSON, &row, text);
    snprintf(text, sizeof text, "id: 7\nevent: paid\ndata: %s\n\n", object);
    check_row(FORMAT_ENVELOPE, &row, text);
}

static void
test_null_columns(void **state)
{
    struct row row = {.id = 9, .data = slice_of("x"), .data_bytes = 1};

    (void)state;
    check_row(FORMAT_SSE, &row, "id: 9\ndata: x\n\n");
    check_row(FORMAT_JSON, &row,
              "{\"id\":\"9\",\"channel\":null,\"event\":\"message\",\"data\":\"x\","
              "\"created_at\":null}");
    row.event = slice_of("");
    check_row(FORMAT_SSE, &row, "id: 9\ndata: x\n\n");
}

static void
test_data_is_cut_at_each_line_end(void **state)
{
    static const struct {
        const char *data, *lines;
    } cases[] = {
        {"", "data:\n"},
        {"a", "data: a\n"},
        {" a", "data:  a\n"},
        {"a\nb", "data: a\ndata: b\n"},
        {"a\r\nb", "data: a\ndata: b\n"},
        {"a\rb", "data: a\ndata: b\n"},
        {"a\n", "data: a\ndata:\n"},
        {"\n", "data:\ndata:\n"},
        {"\r\n", "data:\ndata:\n"},
        {"\n\r", "data:\ndata:\ndata:\n"},
        {"a\r\r\nb", "data: a\ndata:\ndata: b\n"},
        {"\r\r", "data:\ndata:\ndata:\n"},
        {"a\n\nid: 99\n\nevent: x",
         "data: a\ndata:\ndata: id: 99\ndata:\ndata: event: x\n"},
        {"a\nb\nc\rd\re\nf", "data: a\ndata: b\ndata: c\ndata: d\ndata: e\ndata: f\n"},
        {"\xEF\xBB\xBFx", "data: \xEF\xBB\xBFx\n"},
        {"\xE2\x80\xA8", "data: \xE2\x80\xA8\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct row row = {.id = 1, .data = slice_of(cases[i].data)};
        char expected[256];
        snprintf(expected, sizeof expected, "id: 1\n%s\n", cases[i].lines);
        check_row(FORMAT_SSE, &row, expected);
    }
}

static void
test_event_names_cannot_end_their_line(void **state)
{
    struct row row = {.id = 1, .data = slice_of("d")};

    (void)state;
    row.event = bytes("a\nid: 5\r\0b\xFF", 11);
    check_row(FORMAT_SSE, &row,
              "id: 1\nevent: a" U_FFFD "id: 5" U_FFFD U_FFFD "b" U_FFFD "\ndata: d\n\n");
}

static void
test_bad_utf8_is_replaced_by_maximal_subparts(void **state)
{
    /* Unicode standard 3.9, tables 3-8 to 3-11, and the ends of ranges. */
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9},
         U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD "A"},
        {{"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9},
         U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD "A"},
        {{"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9},
         U_FFFD U_FFFD U_FFFD U_FFFD U_FFFD "A" U_FFFD U_FFFD "B"},
        {{"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9}, U_FFFD U_FFFD U_FFFD U_FFFD "A"},
        {{"\xE2\x82", 2}, U_FFFD},
        {{"abcdefgh\xF0\x9F\x98", 11}, "abcdefgh" U_FFFD},
        {{"\xF4\x8F\xBF\xBF", 4}, "\xF4\x8F\xBF\xBF"},
        {{"\xEF\xBF\xBE", 3}, "\xEF\xBF\xBE"},
        {{"\xC3\xA9\xC3", 3}, "\xC3\xA9" U_FFFD},
        {{"\xF5\x80", 2}, U_FFFD U_FFFD},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf buf = {0};
        utf8_append(&buf, cases[i].in);
        check_buf(&buf, cases[i].out, strlen(cases[i].out));
        assert_int_equal(utf8_is_valid(cases[i].in),
                         strlen(cases[i].out) == cases[i].in.len &&
                             memcmp(cases[i].out, cases[i].in.p, cases[i].in.len) == 0);
    }
}

static void
test_json_strings(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
        {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
        {{"\xC3\xA9\xFF\"", 4}, "\"\xC3\xA9" U_FFFD "\\\"\""},
        {{"a\xC2\x85\xE2\x80\xA8\xE2\x80\xA9z", 10}, "\"a\\u0085\\u2028\\u2029z\""},
        {{"\xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\xAA", 10},
         "\"\xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\xAA\""},
        {{"\xE2\x80", 2}, "\"" U_FFFD "\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf buf = {0};
        json_append_string(&buf, cases[i].in);
        check_buf(&buf, cases[i].out, strlen(cases[i].out));
    }
}

static void
test_every_byte_comes_back_from_a_json_string(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x80; byte++) {
        char text[] = {'x', (char)byte, 'y'};
        struct buf buf = {0};
        json_append_string(&buf, bytes(text, sizeof text));
        json_t *json = json_loadb(buf.p, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        assert_int_equal(json_string_length(json), 3);
        assert_memory_equal(json_string_value(json), text, 3);
        json_decref(json);
        buf_fini(&buf);
    }
}

static void
test_a_row_that_was_too_large_says_so_in_each_format(void **state)
{
    static const char object[] =
        "{\"id\":\"7\",\"channel\":\"orders\",\"event\":\"rowcast:too-large\","
        "\"data\":\"{\\\"id\\\":\\\"7\\\",\\\"bytes\\\":2000000,\\\"limit\\\":1048576}\","
        "\"created_at\":1763769600058}";
    struct row row = make_row();
    char text[512];

    (void)state;
    row.data = slice_of(NULL);
    row.data_bytes = 2000000;
    row.too_large = true;
    check_row(FORMAT_SSE, &row,
              "id: 7\nevent: rowcast:too-large\n"
              "data: {\"id\":\"7\",\"bytes\":2000000,\"limit\":1048576}\n\n");
    check_row(FORMAT_JSON, &row, object);
    snprintf(text, sizeof text, "%s\n", object);
    check_row(FORMAT_NDJSON, &row, text);
    snprintf(text, sizeof text, "id: 7\nevent: rowcast:too-large\ndata: %s\n\n", object);
    check_row(FORMAT_ENVELOPE, &row, text);
}

static void
test_our_own_words_in_each_format(void **state)
{
    static const struct gap gap = {GAP_PRUNED, "10\"\n", 57};
    static const char gap_object[] =
        "{\"reason\":\"pruned\",\"after\":\"10\\\"\\n\",\"resumed_at\":\"57\"}";
    static const char *const opens[FORMATS] = {
        [FORMAT_SSE] = ": connected\nretry: 3000\nevent: rowcast:open\nid: 57\n"
                       "data: {\"last_event_id\":\"57\"}\n\n",
        [FORMAT_NDJSON] = "{\"last_event_id\":\"57\"}\n",
        [FORMAT_JSON] = ""};
    static const char *const byes[FORMATS] = {
        [FORMAT_SSE] = ": full\nretry: 9\n\n", [FORMAT_NDJSON] = "\n", [FORMAT_JSON] = ""};

    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        enum format format = (enum format)i;
        int same = format == FORMAT_ENVELOPE ? FORMAT_SSE : i;
        struct buf buf = {0};
        char text[256];

        sse_append_open(&buf, format, &(struct opening){3000, "57", NULL});
        check_buf(&buf, opens[same], strlen(opens[same]));
        sse_append_goodbye(&buf, format, 9, "full");
        check_buf(&buf, byes[same], strlen(byes[same]));
        if (same == FORMAT_SSE)
            snprintf(text, sizeof text, "id: 57\nevent: rowcast:gap\ndata: %s\n\n",
                     gap_object);
        else if (same == FORMAT_NDJSON)
            snprintf(text, sizeof text, "{\"gap\":%s}\n", gap_object);
        else
            snprintf(text, sizeof text, "%s", gap_object);
        sse_append_gap(&buf, format, &gap);
        check_buf(&buf, text, strlen(text));
    }
}

static void
test_gap_reasons(void **state)
{
    static const char *const reasons[] = {
        [GAP_PRUNED] = "pruned", [GAP_RESET] = "reset", [GAP_BAD_ID] = "bad-id"};

    (void)state;
    for (int i = 0; i < (int)COUNT(reasons); i++) {
        struct gap gap = {(enum gap_reason)i, "\xFF", -3};
        struct buf buf = {0};
        char text[128];
        snprintf(text, sizeof text,
                 "{\"reason\":\"%s\",\"after\":\"" U_FFFD "\",\"resumed_at\":\"-3\"}",
                 reasons[i]);
        sse_append_gap(&buf, FORMAT_JSON, &gap);
        check_buf(&buf, text, strlen(text));
    }
}

static void
test_heartbeats(void **state)
{
    static const struct {
        enum format format;
        struct heartbeat beat;
        const char *expected;
    } cases[] = {
        {FORMAT_SSE, {8, false, false}, ":\n"},
        {FORMAT_SSE,
         {8, true, false},
         ":\nid: 8\nevent: rowcast:ping\ndata: {\"last_event_id\":\"8\"}\n\n"},
        {FORMAT_ENVELOPE,
         {8, true, false},
         ":\nid: 8\nevent: rowcast:ping\ndata: {\"last_event_id\":\"8\"}\n\n"},
        {FORMAT_SSE,
         {8, false, true},
         "event: rowcast:ping\ndata: {\"last_event_id\":\"8\"}\n\n"},
        {FORMAT_SSE,
         {8, true, true},
         "id: 8\nevent: rowcast:ping\ndata: {\"last_event_id\":\"8\"}\n\n"},
        {FORMAT_NDJSON, {8, true, false}, "\n"},
        {FORMAT_NDJSON, {8, true, true}, "{\"last_event_id\":\"8\"}\n"},
        {FORMAT_NDJSON, {8, false, true}, "{\"last_event_id\":\"8\"}\n"},
        {FORMAT_JSON, {8, true, true}, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf buf = {0};
        sse_append_heartbeat(&buf, cases[i].format, &cases[i].beat);
        check_buf(&buf, cases[i].expected, strlen(cases[i].expected));
    }
}

static void
test_blocks_are_appended(void **state)
{
    struct row row = {.id = INT64_C(9007199254740991), .data = slice_of("x")};
    struct buf buf = {0};

    (void)state;
    sse_append_row(&buf, FORMAT_SSE, &row, LIMIT);
    sse_append_row(&buf, FORMAT_SSE, &row, LIMIT);
    check_buf(&buf, "id: 9007199254740991\ndata: x\n\nid: 9007199254740991\ndata: x\n\n",
              60);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_in_each_format),
        cmocka_unit_test(test_null_columns),
        cmocka_unit_test(test_data_is_cut_at_each_line_end),
        cmocka_unit_test(test_event_names_cannot_end_their_line),
        cmocka_unit_test(test_bad_utf8_is_replaced_by_maximal_subparts),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_every_byte_comes_back_from_a_json_string),
        cmocka_unit_test(test_a_row_that_was_too_large_says_so_in_each_format),
        cmocka_unit_test(test_our_own_words_in_each_format),
        cmocka_unit_test(test_gap_reasons),
        cmocka_unit_test(test_heartbeats),
        cmocka_unit_test(test_blocks_are_appended),
    };
    return RUN(tests);
}
