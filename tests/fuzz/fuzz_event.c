/* fuzz_event.c - whatever a row holds, each format gives that row back and nothing else.
 *
 * The row stands between the opening block and a row that is known, so that bytes which leak
 * into a neighbour are seen too. */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <unistr.h>

#include "fuzz.h"
#include "event/sse.h"
#include "sse_parser.h"

#define LIMIT 1000

/* What a reader must get. */
struct expected {
    char id[24];
    struct buf channel; /* U+FFFD for what is not UTF-8; so are the next two */
    struct buf event;
    struct buf data;
    struct buf event_line; /* as event, without what would end the line */
    struct buf data_lines; /* as data, each line end an LF */
};

static void
expect_lines(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] != '\r')
            buf_append(out, &text.p[i], 1);
        else if (i + 1 == text.len || text.p[i + 1] != '\n')
            buf_append(out, "\n", 1);
    }
}

static void
expect_event_line(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\0' || text.p[i] == '\r' || text.p[i] == '\n')
            buf_append_text(out, "\xEF\xBF\xBD");
        else
            buf_append(out, &text.p[i], 1);
    }
}

static void
expect(struct expected *expected, const struct row *row)
{
    snprintf(expected->id, sizeof expected->id, "%" PRId64, row->id);
    fuzz_decode_utf8(&expected->channel, row->channel);
    if (row->too_large) {
        buf_append_text(&expected->event, "rowcast:too-large");
        buf_printf(&expected->data, "{\"id\":\"%s\",\"bytes\":%zu,\"limit\":%d}",
                   expected->id, row->data_bytes, LIMIT);
    } else {
        if (row->event.len > 0)
            fuzz_decode_utf8(&expected->event, row->event);
        else
            buf_append_text(&expected->event, "message");
        fuzz_decode_utf8(&expected->data, row->data);
    }
    expect_event_line(&expected->event_line, buf_slice(&expected->event));
    expect_lines(&expected->data_lines, buf_slice(&expected->data));
}

static void
expected_fini(struct expected *expected)
{
    buf_fini(&expected->channel);
    buf_fini(&expected->event);
    buf_fini(&expected->data);
    buf_fini(&expected->event_line);
    buf_fini(&expected->data_lines);
}

/* --- JSON ----------------------------------------------------------------------------- */

static void
check_string(json_t *object, const char *key, struct slice expected)
{
    json_t *value = json_object_get(object, key);

    MUST(json_is_string(value));
    struct slice got = {json_string_value(value), json_string_length(value)};
    MUST(slice_equal(got, expected));
}

static void
check_object(struct slice text, const struct row *row, const struct expected *expected)
{
    json_t *object =
        json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    MUST(json_is_object(object));
    MUST(json_object_size(object) == 5);
    check_string(object, "id", slice_of(expected->id));
    check_string(object, "event", buf_slice(&expected->event));
    check_string(object, "data", buf_slice(&expected->data));
    if (row->channel.p != NULL)
        check_string(object, "channel", buf_slice(&expected->channel));
    else
        MUST(json_is_null(json_object_get(object, "channel")));
    json_t *created_at = json_object_get(object, "created_at");
    if (row->created_at != 0)
        MUST(json_is_integer(created_at) &&
             json_integer_value(created_at) == row->created_at);
    else
        MUST(json_is_null(created_at));
    json_decref(object);
}

static void
check_json(enum format format, const struct row *row, const struct expected *expected)
{
    struct buf buf = {0};

    sse_append_row(&buf, format, row, LIMIT);
    MUST(!buf.failed);
    struct slice text = buf_slice(&buf);
    if (format == FORMAT_NDJSON) {
        MUST(text.len > 0 && text.p[text.len - 1] == '\n');
        text.len--;
    }
    MUST(memchr(text.p, '\n', text.len) == NULL);
    MUST(memchr(text.p, '\r', text.len) == NULL);
    check_object(text, row, expected);
    buf_fini(&buf);
}

/* --- event streams -------------------------------------------------------------------- */

struct reader {
    enum format format;
    const struct row *row;
    const struct expected *expected;
    int events;
};

static void
check_event(void *arg, const struct sse_event *event)
{
    struct reader *reader = arg;
    const struct expected *expected = reader->expected;

    switch (reader->events++) {
    case 0:
        MUST(slice_equal(event->type, slice_of("rowcast:open")));
        MUST(slice_equal(event->id, slice_of("41")));
        break;
    case 1:
        MUST(slice_equal(event->id, slice_of(expected->id)));
        MUST(slice_equal(event->type, buf_slice(&expected->event_line)));
        if (reader->format == FORMAT_ENVELOPE)
            check_object(event->data, reader->row, expected);
        else
            MUST(slice_equal(event->data, buf_slice(&expected->data_lines)));
        break;
    default:
        MUST(slice_equal(event->id, slice_of("43")));
        MUST(slice_equal(event->type, slice_of("message")));
        break;
    }
}

static void
check_stream(enum format format, const struct row *row, const struct expected *expected)
{
    static const struct row last = {.id = 43, .data = {"end", 3}};
    struct reader reader = {format, row, expected, 0};
    struct sse_parser parser = {0};
    struct buf buf = {0};

    sse_append_open(&buf, format, &(struct opening){3000, "41", NULL});
    sse_append_row(&buf, format, row, LIMIT);
    sse_append_row(&buf, format, &last, LIMIT);
    MUST(!buf.failed);
    MUST(u8_check((const uint8_t *)buf.p, buf.len) == NULL);
    sse_parse(&parser, buf_slice(&buf), check_event, &reader);
    MUST(reader.events == 3);
    MUST(parser.retry_ms == 3000);
    sse_parser_fini(&parser);
    buf_fini(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct row row = {0};
    struct expected expected = {0};

    if (size == 0)
        return 0;
    uint8_t flags = fuzz_take_byte(&input);
    row.id = fuzz_take_int(&input);
    row.created_at = (flags & 1) != 0 ? fuzz_take_int(&input) : 0;
    if ((flags & 2) != 0)
        row.channel = fuzz_take_bytes(&input, fuzz_take_byte(&input));
    if ((flags & 4) != 0)
        row.event = fuzz_take_bytes(&input, fuzz_take_byte(&input));
    row.too_large = (flags & 8) != 0;
    row.data_bytes = input.len;
    row.data = row.too_large ? (struct slice){NULL, 0} : input;

    expect(&expected, &row);
    check_json(FORMAT_JSON, &row, &expected);
    check_json(FORMAT_NDJSON, &row, &expected);
    check_stream(FORMAT_SSE, &row, &expected);
    check_stream(FORMAT_ENVELOPE, &row, &expected);
    expected_fini(&expected);
    return 0;
}
