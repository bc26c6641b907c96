/* start_id.c - Last-Event-ID, last_event_id= and since=ID: where a stream continues from. */
#include "config.h"

#include "http/start_id.h"

#include <stdio.h>
#include <string.h>

#include "base/parse_number.h"
#include "base/slice.h"
#include "http/request.h"

/* One member of a list of ids. */
static struct start_id
start_from_member(const char *text)
{
    struct start_id start = {.kind = START_BAD_ID};

    if (*text == '\0')
        return (struct start_id){.kind = START_TAIL};
    if (parse_id(text, &start.value) == 0)
        start.kind = START_AFTER;
    memcpy(start.text, text, strnlen(text, GAP_ID_TEXT_MAX));
    return start;
}

/* Of two that a list has: the one further on, and any id before what is none. */
static bool
is_further(const struct start_id *a, const struct start_id *b)
{
    if (a->kind != START_AFTER || b->kind != START_AFTER)
        return a->kind == START_AFTER || b->kind == START_TAIL;
    return a->value > b->value;
}

struct start_id
start_id_parse(const char *text)
{
    struct start_id start = {.kind = START_TAIL};

    while (*text != '\0') {
        char member[GAP_ID_TEXT_MAX + 1];
        size_t len = strcspn(text, ",");
        struct slice id = slice_trim((struct slice){text, len});
        snprintf(member, sizeof member, "%.*s", (int)id.len, id.p);
        struct start_id found = start_from_member(member);
        if (is_further(&found, &start))
            start = found;
        text += text[len] == ',' ? len + 1 : len;
    }
    return start;
}

int
start_id_parse_since(const char *text, struct start_id *since)
{
    int64_t number = 0;

    if (strcmp(text, "all") == 0)
        *since = (struct start_id){.kind = START_ALL};
    else if (parse_id(text, &number) == 0)
        *since = start_id_parse(text);
    else if (parse_age(text, &number) == 0 && number <= REQUEST_AGE_MAX_MS)
        *since = (struct start_id){.kind = START_AGE, .value = number};
    else
        return -1;
    return 0;
}

const char *
start_id_further(const char *a, const char *b)
{
    struct start_id of_a = start_id_parse(a);
    struct start_id of_b = start_id_parse(b);
    return is_further(&of_b, &of_a) ? b : a;
}
