/* fuzz_last_event_id.c - any Last-Event-ID gives a start, and a gap that quotes it back is one
 * well-formed event in each format. */
#include "config.h"

#include <jansson.h>
#include <string.h>

#include "check_request.h"
#include "fuzz.h"
#include "http/request.h"
#include "event/sse.h"
#include "sse_parser.h"

static void
check_gap_object(struct slice text, const char *after)
{
    struct buf expected = {0};
    json_t *object = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);

    MUST(json_is_object(object));
    fuzz_decode_utf8(&expected, slice_of(after));
    json_t *value = json_object_get(object, "after");
    MUST(json_is_string(value));
    struct slice got = {json_string_value(value), json_string_length(value)};
    MUST(slice_equal(got, buf_slice(&expected)));
    json_decref(object);
    buf_fini(&expected);
}

struct reader {
    const char *after;
    int events;
};

static void
check_event(void *arg, const struct sse_event *event)
{
    struct reader *reader = arg;

    reader->events++;
    MUST(slice_equal(event->type, slice_of("rowcast:gap")));
    MUST(slice_equal(event->id, slice_of("57")));
    check_gap_object(event->data, reader->after);
}

static void
check_gap(const char *after)
{
    struct gap gap = {.reason = GAP_BAD_ID, .resumed_at = 57};
    snprintf(gap.after, sizeof gap.after, "%s", after);
    struct reader reader = {after, 0};
    struct sse_parser parser = {0};
    struct buf buf = {0};

    sse_append_gap(&buf, FORMAT_SSE, &gap);
    sse_parse(&parser, buf_slice(&buf), check_event, &reader);
    MUST(reader.events == 1);
    buf_clear(&buf);
    sse_append_gap(&buf, FORMAT_JSON, &gap);
    check_gap_object(buf_slice(&buf), after);
    sse_parser_fini(&parser);
    buf_fini(&buf);
}

/* What must come of the list, member by member; *text is what is quoted back. */
static enum start_kind
expect_start(char *list, const char **text)
{
    enum start_kind kind = START_TAIL;
    double highest = -1;

    *text = "";
    for (char *rest = list, *member; (member = strsep(&rest, ",")) != NULL;) {
        member += strspn(member, " \t");
        size_t len = strlen(member);
        while (len > 0 && strchr(" \t", member[len - 1]) != NULL)
            member[--len] = '\0';
        bool is_id = len > 0 && strspn(member, "0123456789") == len;
        if (is_id && (kind != START_AFTER || strtod(member, NULL) > highest)) {
            highest = strtod(member, NULL);
            kind = START_AFTER;
            *text = member;
        } else if (len > 0 && kind == START_TAIL) {
            kind = START_BAD_ID;
            *text = member;
        }
    }
    return kind;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct buf header = {0};
    struct request request;

    if (size == 0)
        return 0;
    char *text = fuzz_take_text(&input);
    buf_printf(&header, "HTTP_LAST_EVENT_ID=%s", text);
    buf_append(&header, "", 1);
    MUST(!header.failed);
    const char *const envp[] = {"REQUEST_METHOD=GET", header.p, NULL};

    check_request(envp);
    MUST(request_parse(&request, envp, NULL, NULL) == 0);
    const char *quoted;
    enum start_kind expected = expect_start(text, &quoted);
    MUST(request.start == expected);
    /* Of ids that are as large as a double can tell apart, or cut, either will do. */
    if (request.start_value < (INT64_C(1) << 53) && strlen(quoted) <= GAP_ID_TEXT_MAX)
        MUST(strcmp(request.start_text, quoted) == 0);
    check_gap(request.start_text);
    request_fini(&request);
    buf_fini(&header);
    free(text);
    return 0;
}
