/* sse_parser.c - "Interpreting an event stream", step by step. */
#include "config.h"

#include "sse_parser.h"

static void
set(struct buf *buf, struct slice value)
{
    buf_clear(buf);
    buf_append(buf, value.p, value.len);
}

static bool
is_named(struct slice field, const char *name)
{
    return slice_equal(field, slice_of(name));
}

static void
take_retry(struct sse_parser *parser, struct slice value)
{
    int64_t ms = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || ms > INT64_MAX / 100)
            return;
        ms = ms * 10 + (value.p[i] - '0');
    }
    if (value.len > 0)
        parser->retry_ms = ms;
}

static void
process_field(struct sse_parser *parser, struct slice field, struct slice value)
{
    if (is_named(field, "event")) {
        set(&parser->type, value);
    } else if (is_named(field, "data")) {
        buf_append(&parser->data, value.p, value.len);
        buf_append(&parser->data, "\n", 1);
    } else if (is_named(field, "id")) {
        if (value.len == 0 || memchr(value.p, '\0', value.len) == NULL)
            set(&parser->id_buffer, value);
    } else if (is_named(field, "retry")) {
        take_retry(parser, value);
    }
}

static void
dispatch(struct sse_parser *parser, sse_event_fn fn, void *arg)
{
    set(&parser->last_event_id, buf_slice(&parser->id_buffer));
    if (parser->data.len > 0) {
        struct sse_event event = {buf_slice(&parser->type), buf_slice(&parser->data),
                                  buf_slice(&parser->last_event_id)};
        event.data.len--; /* the last LF */
        if (event.type.len == 0)
            event.type = slice_of("message");
        fn(arg, &event);
    }
    buf_clear(&parser->data);
    buf_clear(&parser->type);
}

static void
process_line(struct sse_parser *parser, struct slice line, sse_event_fn fn, void *arg)
{
    if (line.len == 0) {
        dispatch(parser, fn, arg);
        return;
    }
    const char *colon = memchr(line.p, ':', line.len);
    if (colon == line.p)
        return; /* a comment */
    if (colon == NULL) {
        process_field(parser, line, slice_of(""));
        return;
    }
    struct slice field = {line.p, (size_t)(colon - line.p)};
    struct slice value = {colon + 1, line.len - field.len - 1};
    if (value.len > 0 && value.p[0] == ' ') {
        value.p++;
        value.len--;
    }
    process_field(parser, field, value);
}

void
sse_parse(struct sse_parser *parser, struct slice stream, sse_event_fn fn, void *arg)
{
    size_t start = 0;

    if (stream.len >= 3 && memcmp(stream.p, "\xEF\xBB\xBF", 3) == 0)
        start = 3;
    for (size_t i = start; i < stream.len; i++) {
        if (stream.p[i] != '\n' && stream.p[i] != '\r')
            continue;
        process_line(parser, (struct slice){stream.p + start, i - start}, fn, arg);
        if (stream.p[i] == '\r' && i + 1 < stream.len && stream.p[i + 1] == '\n')
            i++;
        start = i + 1;
    }
}

void
sse_parser_fini(struct sse_parser *parser)
{
    buf_fini(&parser->data);
    buf_fini(&parser->type);
    buf_fini(&parser->id_buffer);
    buf_fini(&parser->last_event_id);
}
