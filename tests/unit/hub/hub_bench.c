/* hub_bench.c - what the tests of the hub share: rows to insert, and checks of what came. */
#include "config.h"

#include "hub_bench.h"

#include <jansson.h>

void
check_transcript(struct reader *reader, const char *expected)
{
    const char *got = reader_transcript(reader);

    CHECK(strcmp(got, expected) == 0, "got [%s]\nnot [%s]\n", got, expected);
}

/* "PREFIX" and the absolute form of an id that is relative to the base. */
const char *
with_id(const struct stage *stage, char out[64], const char *prefix, int64_t id)
{
    snprintf(out, 64, "%s%lld", prefix, (long long)(stage->base + id));
    return out;
}

/* Rows "1" to "count", in transactions of `step`. */
void
insert_many(struct stage *stage, const char *channel, int from, int to, size_t bytes)
{
    stage_sql(
        stage,
        "WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO notification(channel, data)"
        " SELECT %Q, i || ' ' || substr(printf('%%.*c', %d, 'x'), 1, %d) FROM n",
        from, to, channel, (int)bytes, (int)bytes);
}

int64_t
last_id(struct reader *reader)
{
    reader_rows(reader); /* parses */
    return reader->event_count == 0 ? 0 : reader->events[reader->event_count - 1].id;
}

/* Rows whose data begin with FROM, FROM + 1, ... TO, in that order and none else. */
void
check_counted(struct reader *reader, int from, int to)
{
    int next = from;

    reader_rows(reader);
    for (size_t i = 0; i < reader->event_count; i++) {
        const struct told *told = &reader->events[i];
        if (strcmp(told->type, "message") != 0)
            continue;
        CHECK(atoi(told->data) == next, "row %.20s where %d was due\n", told->data, next);
        next++;
    }
    assert_int_equal(next, to + 1);
}

bool
is_blocked(const struct reader *reader)
{
    return reader->wants_write;
}

/* Checks a JSON document: ids of its events less the base, as "1 2 3", and its cursor. */
void
check_document(struct reader *reader, int64_t cursor, const char *gap, const char *ids)
{
    struct buf got = {0};
    const json_t *event;
    size_t i;

    assert_true(reader_has_ended(reader));
    json_t *document = json_loadb(reader->body.p, reader->body.len, 0, NULL);
    CHECK(json_is_object(document), "%.*s\n", (int)reader->body.len, reader->body.p);
    const char *last = json_string_value(json_object_get(document, "last_event_id"));
    if (cursor == NO_CURSOR) {
        assert_true(json_is_null(json_object_get(document, "last_event_id")));
    } else {
        assert_non_null(last);
        assert_int_equal(atoll(last) - reader->stage->base, cursor);
    }
    const char *reason =
        json_string_value(json_object_get(json_object_get(document, "gap"), "reason"));
    if (gap == NULL)
        assert_true(json_is_null(json_object_get(document, "gap")));
    else
        assert_string_equal(reason, gap);
    json_array_foreach(json_object_get(document, "events"), i, event)
    {
        const char *id = json_string_value(json_object_get(event, "id"));
        buf_printf(&got, "%s%lld", i > 0 ? " " : "",
                   (long long)(atoll(id) - reader->stage->base));
    }
    buf_append(&got, "", 1);
    assert_string_equal(got.p, ids);
    buf_fini(&got);
    json_decref(document);
}
