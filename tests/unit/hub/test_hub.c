/* test_hub.c - streams on a real database: order, resume, gaps, slow readers, throttling,
 * heartbeats, limits, ends. Waits for conditions; no test says how soon they must come true. */
#include "config.h"

#include "hub/hub.h"

#include <jansson.h>
#include <sys/socket.h>

#include "../stage.h"
#include "fastcgi/records.h"

#include "../unit.h"

#define TEST_NAME "hub"

#define TINY 4096
#define NDJSON "application/x-ndjson"
#define JSON "application/json"

/* --- helpers ------------------------------------------------------------------------------------------ */

static void
check_transcript(struct reader *reader, const char *expected)
{
    const char *got = reader_transcript(reader);

    CHECK(strcmp(got, expected) == 0, "got [%s]\nnot [%s]\n", got, expected);
}

/* "PREFIX" and the absolute form of an id that is relative to the base. */
static const char *
with_id(const struct stage *stage, char out[64], const char *prefix, int64_t id)
{
    snprintf(out, 64, "%s%lld", prefix, (long long)(stage->base + id));
    return out;
}

/* Rows "1" to "count", in transactions of `step`. */
static void
insert_many(struct stage *stage, const char *channel, int from, int to, size_t bytes)
{
    stage_sql(
        stage,
        "WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO notification(channel, data)"
        " SELECT %Q, i || ' ' || substr(printf('%%.*c', %d, 'x'), 1, %d) FROM n",
        from, to, channel, (int)bytes, (int)bytes);
}

static int64_t
last_id(struct reader *reader)
{
    reader_rows(reader); /* parses */
    return reader->event_count == 0 ? 0 : reader->events[reader->event_count - 1].id;
}

/* Rows whose data begin with FROM, FROM + 1, ... TO, in that order and none else. */
static void
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

static bool
is_blocked(const struct reader *reader)
{
    return reader->wants_write;
}

#define NO_CURSOR INT64_MIN /* last_event_id is null: ask again as before */

/* Checks a JSON document: ids of its events less the base, as "1 2 3", and its cursor. */
static void
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

/* --- opening and order ---------------------------------------------------------------------------------- */

static void
test_a_stream_opens_at_the_tail_and_gets_what_is_new(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.retry_ms = 1234}});
    stage_insert(&stage, "orders", "old");
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    WAIT(&stage, reader_has_text(reader, "data: "));
    check_transcript(reader, "open:1");
    assert_int_equal(reader->retry_ms, 1234);
    assert_int_equal(memcmp(reader->headers.p, "Content-Type: text/event-stream;", 32), 0);
    assert_int_equal(memcmp(reader->body.p, ": connected\n", 12), 0);
    assert_int_equal(reader->answer.records, 1); /* headers and opening in one */

    stage_sql(&stage, "INSERT INTO notification(event, data) VALUES ('paid', 'a'),"
                      " (NULL, 'two' || char(10) || 'lines')");
    stage_insert(&stage, "other", "c");
    WAIT(&stage, reader_rows(reader) == 3);
    check_transcript(reader, "open:1 2:paid:a 3:message:two\nlines 4:message:c");
    assert_int_equal(stage.counters.events, 3);
    assert_int_equal(hub_streams(stage.hub), 1);
    stage_close(&stage);
}

static void
test_rows_of_a_batch_come_in_one_write_and_in_order(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "channel=a"});
    WAIT(&stage, reader_has_text(reader, "open"));
    size_t records = reader->answer.records;
    insert_many(&stage, "a", 1, 40, 10);
    WAIT(&stage, reader_rows(reader) == 40);
    check_counted(reader, 1, 40);
    assert_int_equal(reader->answer.records, records + 1);
    stage_close(&stage);
}

static void
test_every_stream_gets_every_row_once_while_others_come_and_go(void **state)
{
    struct stage stage;
    struct reader *readers[10];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (size_t i = 0; i < COUNT(readers); i++)
        readers[i] = stage_visit(&stage, &(struct visit){.query = "channel=a"});
    for (int row = 1; row <= 300; row++) {
        char data[16];
        snprintf(data, sizeof data, "%d", row);
        stage_insert(&stage, "a", data);
        if (row % 50 == 0)
            reader_hang_up(readers[row / 50]);
        stage_step(&stage);
    }
    WAIT(&stage, reader_rows(readers[0]) == 300);
    for (size_t i = 0; i < COUNT(readers); i++) {
        if (readers[i]->fd < 0)
            continue;
        WAIT(&stage, reader_rows(readers[i]) == 300);
        check_counted(readers[i], 1, 300);
    }
    WAIT(&stage, hub_streams(stage.hub) == 4);
    assert_int_equal(stage.counters.closed[CLOSE_READER_GONE], 6);
    stage_close(&stage);
}

static void
test_patterns_and_channels_let_through_what_matches(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *exact =
        stage_visit(&stage, &(struct visit){.query = "channel=a.1&channel=b"});
    struct reader *glob = stage_visit(&stage, &(struct visit){.query = "channel=a.*"});
    struct reader *all = stage_visit(&stage, &(struct visit){0});
    stage_insert(&stage, "a.1", "one");
    stage_insert(&stage, "a.2", "two");
    stage_insert(&stage, "b", "three");
    stage_insert(&stage, "A.1", "four");
    WAIT(&stage, reader_rows(all) == 4);
    check_transcript(exact, "open:0 1:message:one 3:message:three");
    check_transcript(glob, "open:0 1:message:one 2:message:two");
    stage_close(&stage);
}

static void
test_all_representations_speak_of_the_same_rows(void **state)
{
    struct stage stage;
    char line[256];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *envelope = stage_visit(&stage, &(struct visit){.query = "envelope=1"});
    struct reader *ndjson = stage_visit(&stage, &(struct visit){.accept = NDJSON});
    stage_sql(&stage, "INSERT INTO notification(channel, event, data, created_at)"
                      " VALUES ('c', 'paid', 'x\"y', 17)");
    snprintf(line, sizeof line,
             "{\"id\":\"%lld\",\"channel\":\"c\",\"event\":\"paid\",\"data\":\"x\\\"y\","
             "\"created_at\":17}",
             (long long)stage.base + 1);
    WAIT(&stage, reader_rows(envelope) == 1);
    assert_string_equal(envelope->events[1].data, line);
    assert_string_equal(envelope->events[1].type, "paid");
    WAIT(&stage, reader_has_text(ndjson, line));
    snprintf(line, sizeof line, "{\"last_event_id\":\"%lld\"}\n", (long long)stage.base);
    assert_memory_equal(ndjson->body.p, line, strlen(line));
    stage_close(&stage);
}

static void
test_a_peer_with_another_request_id_gets_its_own(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(
        &stage,
        &(struct visit){.query = "since=all", .request_id = 0x1234, .send_bytes = TINY});
    insert_many(&stage, "a", 1, 200, 500);
    WAIT(&stage, reader_rows(reader) == 200); /* peer_parse looks at the id */
    check_counted(reader, 1, 200);
    stage_close(&stage);
}

static void
test_a_row_that_is_too_large_is_announced(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    stage_sql(&stage,
              "INSERT INTO notification(data) VALUES (printf('%%.*c', 1048577, 'x'))");
    stage_insert(&stage, "a", "next");
    WAIT(&stage, reader_has_row(reader, "next"));
    assert_string_equal(reader->events[1].type, "rowcast:too-large");
    assert_int_equal(reader->events[1].id, 1);
    stage_close(&stage);
}

/* --- resume ----------------------------------------------------------------------------------------------- */

static void
test_resume_brings_what_was_missed_and_then_what_is_new(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (int i = 0; i < 6; i++)
        stage_insert(&stage, i % 2 ? "b" : "a", i % 2 ? "no" : "yes");
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "channel=a",
                                            .last_event_id = with_id(&stage, id, "", 1)});
    WAIT(&stage, reader_rows(reader) == 2);
    stage_insert(&stage, "a", "live");
    WAIT(&stage, reader_rows(reader) == 3);
    check_transcript(reader, "open:1 3:message:yes 5:message:yes 7:message:live");
    stage_close(&stage);
}

static void
test_since_all_brings_all_and_of_an_empty_table_nothing(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *early = stage_visit(&stage, &(struct visit){.query = "since=all"});
    WAIT(&stage, reader_has_text(early, "open"));
    stage_insert(&stage, "a", "x");
    stage_insert(&stage, "a", "y");
    struct reader *late = stage_visit(&stage, &(struct visit){.query = "since=all"});
    WAIT(&stage, reader_rows(early) == 2 && reader_rows(late) == 2);
    check_transcript(early, "open:0 1:message:x 2:message:y");
    check_transcript(late, "open:0 1:message:x 2:message:y");
    stage_close(&stage);
}

/* They begin below what was deleted, which is no news to them. */
static void
test_a_first_visit_is_told_of_no_gap(void **state)
{
    static const size_t windows[] = {1 << 20, 1};

    (void)state;
    for (size_t i = 0; i < COUNT(windows); i++) {
        struct stage stage;
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[i]}});
        for (int row = 0; row < 6; row++)
            stage_insert(&stage, "a", "x");
        stage_sql(&stage, "DELETE FROM notification WHERE id = %lld", stage.base + 4);
        stage_turn(&stage);
        struct reader *all = stage_visit(&stage, &(struct visit){.query = "since=all"});
        struct reader *last = stage_visit(&stage, &(struct visit){.query = "last=4"});
        struct reader *young = stage_visit(&stage, &(struct visit){.query = "since=1h"});
        stage_insert(&stage, "a", "y");
        WAIT(&stage, reader_has_row(all, "y") && reader_has_row(last, "y") &&
                         reader_has_row(young, "y"));
        check_transcript(all, "open:0 1:message:x 2:message:x 3:message:x 5:message:x "
                              "6:message:x 7:message:y");
        check_transcript(last, "open:1 2:message:x 3:message:x 5:message:x 6:message:x "
                               "7:message:y");
        assert_int_equal(reader_rows(young), 6);
        assert_false(reader_has_text(young, "gap"));
        stage_close(&stage);
    }
}

/* As under CGI: nothing is read before somebody asks, and what is asked for comes from the table. */
static void
test_a_cold_hub_reads_nothing_at_its_start(void **state)
{
    static const struct hub_config kinds[] = {{.starts_cold = false}, {.starts_cold = true}};

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct stage stage;
        struct hub_counters totals;
        stage_open(&stage, &(struct stage_config){.hub = {0}});
        for (int row = 0; row < 20; row++)
            stage_insert(&stage, "a", "x");
        stage_stop_hub(&stage);
        stage_start_hub(&stage, &kinds[i]);
        hub_totals(stage.hub, &totals);
        assert_int_equal(totals.window_bytes == 0, kinds[i].starts_cold);
        struct reader *all = stage_visit(&stage, &(struct visit){.query = "since=all"});
        stage_insert(&stage, "a", "y");
        WAIT(&stage, reader_has_row(all, "y"));
        assert_int_equal(reader_rows(all), 21);
        stage_close(&stage);
    }
}

/* From the table, in pages, while rows go on coming; and a restart in between. */
static void
test_a_long_replay_meets_the_live_end_without_a_seam(void **state)
{
    struct stage stage;
    struct hub_config small = {.window_bytes = 20000};

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = small});
    insert_many(&stage, "a", 1, 5000, 80);
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "since=all"});
    for (int row = 5001; row <= 5400; row++) {
        insert_many(&stage, "a", row, row, 80);
        stage_turn(&stage);
    }
    WAIT(&stage, reader_rows(reader) == 5400);
    check_counted(reader, 1, 5400);
    stage_stop_hub(&stage);
    stage_start_hub(&stage, &small);
    struct reader *again = stage_visit(&stage, &(struct visit){.query = "since=all"});
    WAIT(&stage, reader_rows(again) == 5400);
    check_counted(again, 1, 5400);
    stage_close(&stage);
}

static void
test_many_that_resume_from_one_place_each_get_it_all(void **state)
{
    struct stage stage;
    struct reader *readers[12];

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    insert_many(&stage, "a", 1, 2000, 100);
    for (size_t i = 0; i < COUNT(readers); i++)
        readers[i] = stage_visit(
            &stage, &(struct visit){.query = i % 3 ? "since=all" : "since=all&channel=a",
                                    .send_bytes = i % 2 ? TINY : 0,
                                    .user = i % 4 ? NULL : "anna"});
    for (size_t i = 0; i < COUNT(readers); i++) {
        WAIT(&stage, reader_rows(readers[i]) == 2000);
        check_counted(readers[i], 1, 2000);
    }
    stage_close(&stage);
}

/* Of a burst this feed has read one page, another worker's more: an id from there is no gap, and
 * the rows up to it are not sent again. */
static void
test_an_id_that_another_worker_gave_out_is_no_gap(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert_many(&stage, "a", 1, 5000, 100);
    struct reader *reader = stage_visit(
        &stage, &(struct visit){.last_event_id = with_id(&stage, id, "", 4000)});
    WAIT(&stage, last_id(reader) == 5000);
    assert_false(reader_has_text(reader, "gap"));
    check_counted(reader, 4001, 5000);
    stage_close(&stage);
}

static void
test_expired_rows_are_not_sent(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *live = stage_visit(&stage, &(struct visit){0});
    stage_sql(&stage,
              "INSERT INTO notification(data, expires_at) VALUES ('a', 1), ('b', NULL),"
              " ('c', 4102444800000), ('d', 1000)");
    WAIT(&stage, reader_rows(live) == 2);
    stage_insert(&stage, "x", "e");
    WAIT(&stage, reader_rows(live) == 3);
    check_transcript(live, "open:0 2:message:b 3:message:c 5:message:e");

    const char *expected = "open:0 2:message:b 3:message:c 5:message:e";
    struct reader *window = stage_visit(&stage, &(struct visit){.query = "since=all"});
    WAIT(&stage, reader_rows(window) == 3);
    check_transcript(window, expected);
    stage_stop_hub(&stage);
    stage_start_hub(&stage,
                    &(struct hub_config){.window_bytes = 1}); /* so: from the table */
    struct reader *table = stage_visit(&stage, &(struct visit){.query = "since=all"});
    WAIT(&stage, reader_rows(table) == 3);
    check_transcript(table, expected);
    struct reader *last = stage_visit(&stage, &(struct visit){.query = "last=2"});
    WAIT(&stage, reader_rows(last) == 2);
    check_transcript(last, "open:2 3:message:c 5:message:e");
    stage_close(&stage);
}

static void
test_superseded_rows_are_left_out_of_a_replay(void **state)
{
    static const size_t windows[] = {1 << 20, 1};

    (void)state;
    for (size_t i = 0; i < COUNT(windows); i++) {
        struct stage stage;
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[i]}});
        stage_sql(&stage,
                  "INSERT INTO notification(channel, recipient, collapse_key, data) VALUES"
                  " ('a', NULL, 'k', '1'), ('a', 'u', 'k', '2'), ('b', NULL, 'k', '3'),"
                  " ('a', NULL, NULL, '4'), ('a', NULL, 'k', '5'), ('a', NULL, 'l', '6'),"
                  " ('a', NULL, 'k', '7')");
        stage_stop_hub(&stage);
        stage_start_hub(&stage, &(struct hub_config){.window_bytes = windows[i]});
        struct reader *reader =
            stage_visit(&stage, &(struct visit){.query = "since=all", .user = "u"});
        WAIT(&stage, reader_has_row(reader, "7"));
        check_transcript(reader, "open:0 2:message:2 3:message:3 4:message:4 6:message:6 "
                                 "7:message:7");
        stage_close(&stage);
    }
}

/* --- last=N -------------------------------------------------------------------------------------------------- */

/* The older of two rows with a key is further back than one step of the search. */
static void
test_last_does_not_count_rows_that_a_newer_one_replaces(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    stage_sql(&stage, "INSERT INTO notification(channel, data, collapse_key) VALUES"
                      " ('keyed', 'first', NULL), ('keyed', 'old', 'k')");
    insert_many(&stage, "other", 1, 3000, 1);
    stage_sql(&stage, "INSERT INTO notification(channel, data, collapse_key) VALUES"
                      " ('keyed', 'new', 'k')");
    WAIT(&stage, feed_tail(stage.feed) == stage.base + 3003);
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "channel=keye*&last=2"});
    WAIT(&stage, reader_has_row(reader, "new"));
    assert_true(reader_has_row(reader, "first"));
    assert_int_equal(reader_rows(reader), 2);
    stage_close(&stage);
}

static void
test_last_gives_the_newest_rows_of_the_filter_and_goes_on(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (int i = 1; i <= 20; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        stage_sql(&stage,
                  "INSERT INTO notification(channel, recipient, data) VALUES (%Q, %Q, %Q)",
                  i % 2 ? "a" : "b", i % 5 ? NULL : "someone", data);
    }
    struct reader *two = stage_visit(&stage, &(struct visit){.query = "channel=a&last=2"});
    struct reader *glob =
        stage_visit(&stage, &(struct visit){.query = "channel=%5Bab%5D&last=3"});
    struct reader *his = stage_visit(
        &stage, &(struct visit){.query = "channel=a&last=3", .user = "someone"});
    struct reader *none =
        stage_visit(&stage, &(struct visit){.query = "channel=nothing&last=5"});
    struct reader *many =
        stage_visit(&stage, &(struct visit){.query = "channel=b&last=1000"});
    WAIT(&stage, reader_rows(two) == 2 && reader_rows(glob) == 3 && reader_rows(his) == 3 &&
                     reader_rows(many) == 8 && reader_has_text(none, "open"));
    stage_insert(&stage, "a", "live");
    WAIT(&stage, reader_rows(two) == 3);
    check_transcript(two, "open:16 17:message:17 19:message:19 21:message:live");
    check_transcript(glob, "open:16 17:message:17 18:message:18 19:message:19 "
                           "21:message:live");
    check_transcript(his, "open:14 15:message:15 17:message:17 19:message:19 "
                          "21:message:live");
    check_transcript(none, "open:20");
    assert_int_equal(reader_rows(many), 8);
    stage_close(&stage);
}

static void
test_last_looks_far_back_where_rows_are_rare(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    stage_insert(&stage, "rare.1", "1 found");
    stage_insert(&stage, "rare.2", "2 found");
    insert_many(&stage, "common", 1, 5000, 10);
    stage_insert(&stage, "rare.1", "3 found");
    WAIT(&stage, stage.counters.rows == 5003);
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "channel=rare.*&last=2"});
    WAIT(&stage, reader_rows(reader) == 2);
    check_counted(reader, 2, 3);
    stage_close(&stage);
}

/* --- gaps ---------------------------------------------------------------------------------------------------- */

static void
test_a_gap_is_told_when_a_stream_opens_behind_one(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (int i = 0; i < 9; i++)
        stage_insert(&stage, "a", "x");
    stage_sql(&stage, "DELETE FROM notification WHERE id <= %lld", stage.base + 5);

    const struct {
        int64_t after;
        const char *transcript;
    } cases[] = {
        {8, "open:8 9:message:x"},
        {5, "open:5 6:message:x 7:message:x 8:message:x 9:message:x"},
        {4, "open:4 gap:pruned:4-5 6:message:x 7:message:x 8:message:x 9:message:x"},
        {0, "open:0 gap:pruned:0-5 6:message:x 7:message:x 8:message:x 9:message:x"},
        {-1, "open:-1 gap:reset:-1-5 6:message:x 7:message:x 8:message:x 9:message:x"},
        {9, "open:9"},
        {10, "open:10 gap:reset:10-9"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reader *reader = stage_visit(
            &stage,
            &(struct visit){.last_event_id = with_id(&stage, id, "", cases[i].after)});
        size_t rows = cases[i].after >= 8 ? 9 - (size_t)cases[i].after : 4;
        if (cases[i].after > 9)
            rows = 0;
        WAIT(&stage, reader_has_text(reader, "open") && reader_rows(reader) == rows);
        check_transcript(reader, cases[i].transcript);
        reader_hang_up(reader);
    }
    struct reader *bad = stage_visit(&stage, &(struct visit){.last_event_id = "x\"y"});
    WAIT(&stage, reader_has_text(bad, "gap"));
    check_transcript(bad, "open:9 gap:bad-id:x\"y-9");
    stage_insert(&stage, "a", "new");
    WAIT(&stage, reader_rows(bad) == 1);
    stage_close(&stage);
}

static void
test_rows_deleted_before_they_were_seen_are_a_gap_to_live_streams(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    stage_insert(&stage, "a", "x");
    WAIT(&stage, reader_rows(reader) == 1);
    stage_sql(&stage, "BEGIN; INSERT INTO notification(data) VALUES ('y'), ('z');"
                      " DELETE FROM notification WHERE data = 'y'; COMMIT");
    WAIT(&stage, reader_rows(reader) == 2);
    check_transcript(reader, "open:0 1:message:x gap:pruned:1-2 3:message:z");
    stage_close(&stage);
}

/* Each step between two rows is one id, or a gap that says where it goes on. */
static void
check_no_silent_gap(struct reader *reader, int64_t first, int64_t last)
{
    int64_t at = first - 1;

    reader_rows(reader);
    for (size_t i = 0; i < reader->event_count; i++) {
        const struct told *told = &reader->events[i];
        if (strcmp(told->type, "rowcast:gap") == 0) {
            CHECK(told->id > at, "gap to %lld behind %lld\n", (long long)told->id,
                  (long long)at);
            at = told->id;
        } else if (strcmp(told->type, "message") == 0) {
            CHECK(told->id == at + 1, "row %lld behind %lld, and no gap told\n",
                  (long long)told->id, (long long)at);
            at = told->id;
        }
    }
    assert_int_equal(at, last);
}

/* The rows go while pages of them are being read, before the feed has had a look. */
static void
test_a_prune_in_the_middle_of_a_replay_is_told(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    insert_many(&stage, "a", 1, 60000, 60);
    WAIT(&stage, stage.counters.rows == 60000);
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "since=all"});
    while (reader_rows(reader) == 0) {
        stage_step(&stage);
        reader_read(reader);
    }
    assert_true(reader_rows(reader) < 55000);
    stage_sql(&stage, "DELETE FROM notification WHERE id <= %lld", stage.base + 58000);
    WAIT(&stage, last_id(reader) == 60000);
    check_no_silent_gap(reader, 1, 60000);
    stage_close(&stage);
}

static void
test_a_prune_under_a_blocked_reader_is_told_when_it_reads_on(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    struct reader *other = stage_visit(&stage, &(struct visit){0});
    insert_many(&stage, "a", 1, 500, 1000);
    WAIT(&stage, is_blocked(reader) && reader_rows(other) == 500);
    stage_sql(&stage, "DELETE FROM notification WHERE id <= %lld", stage.base + 450);
    stage_insert(&stage, "a", "501 end");
    WAIT(&stage, reader_has_row(other, "501 end"));
    assert_int_equal(stage.counters.gaps, 0);
    reader->idle = false;
    WAIT(&stage, reader_has_row(reader, "501 end"));
    check_no_silent_gap(reader, 1, 501);
    assert_int_equal(stage.counters.gaps, 1);
    check_counted(other, 1, 501);
    stage_close(&stage);
}

/* The gap's own bytes find no room at all: they must come later, not never. */
static void
test_a_gap_that_finds_the_socket_full_is_told_later(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    struct reader *other = stage_visit(&stage, &(struct visit){0});
    WAIT(&stage, reader_has_text(other, "open"));
    stage_turn(&stage);
    reader_stuff(reader); /* the stream is live and does not know */
    stage_sql(&stage, "BEGIN; INSERT INTO notification(data) VALUES ('y');"
                      " DELETE FROM notification; COMMIT");
    WAIT(&stage, reader_has_text(other, "gap") && is_blocked(reader));
    reader->idle = false;
    stage_insert(&stage, "a", "x");
    WAIT(&stage, reader_rows(reader) == 1);
    check_transcript(reader, "open:0 gap:pruned:0-1 2:message:x");
    stage_close(&stage);
}

static void
test_another_database_at_the_path_is_told(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *live = stage_visit(&stage, &(struct visit){0});
    struct reader *blocked =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    struct reader *poll = stage_visit(
        &stage, &(struct visit){.query = "channel=none&wait=60", .accept = JSON});
    insert_many(&stage, "a", 1, 300, 200);
    WAIT(&stage, reader_rows(live) == 300 && is_blocked(blocked));
    stage_replace_database(&stage);
    stage_insert(&stage, "a", "1 of the new one");
    WAIT(&stage, reader_has_row(live, "1 of the new one"));
    blocked->idle = false;
    WAIT(&stage, reader_has_row(blocked, "1 of the new one"));
    for (size_t i = 0; i < 2; i++) {
        struct reader *reader = i == 0 ? live : blocked;
        const struct told *told = &reader->events[reader->event_count - 2];
        assert_string_equal(told->type, "rowcast:gap");
        assert_non_null(strstr(told->data, "\"reason\":\"reset\""));
    }
    stage_insert(&stage, "none", "2");
    WAIT(&stage, reader_has_ended(poll));
    assert_true(reader_has_text(poll, "\"gap\":{\"reason\":\"reset\""));
    stage_close(&stage);
}

/* Ids that were handed out since are unknown to it: "above every id". */
static void
test_a_restored_backup_is_told(void **state)
{
    struct stage stage;
    char copy[128];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    stage_insert(&stage, "a", "1");
    snprintf(copy, sizeof copy, "%s/backup.db", stage.folder);
    stage_sql(&stage, "VACUUM INTO %Q", copy);
    stage_insert(&stage, "a", "2");
    stage_insert(&stage, "a", "3");
    WAIT(&stage, reader_rows(reader) == 3);
    stage_put_in_place(&stage, copy);
    WAIT(&stage, reader_has_text(reader, "gap"));
    stage_insert(&stage, "a", "new 2");
    WAIT(&stage, reader_has_row(reader, "new 2"));
    check_transcript(reader, "open:0 1:message:1 2:message:2 3:message:3 gap:reset:3-1 "
                             "2:message:new 2");
    stage_close(&stage);
}

/* The same rows at the path, in another file (VACUUM INTO, a file system's snapshot). */
static void
test_the_same_history_in_another_file_is_no_gap(void **state)
{
    struct stage stage;
    char copy[128];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    stage_insert(&stage, "a", "x");
    WAIT(&stage, reader_rows(reader) == 1);
    snprintf(copy, sizeof copy, "%s/copy.db", stage.folder);
    stage_sql(&stage, "VACUUM INTO %Q", copy);
    stage_put_in_place(&stage, copy);
    stage_insert(&stage, "a", "y");
    WAIT(&stage, reader_rows(reader) == 2);
    check_transcript(reader, "open:0 1:message:x 2:message:y");
    stage_close(&stage);
}

/* --- slow readers ---------------------------------------------------------------------------------------------- */

static void
test_a_reader_that_does_not_read_costs_no_queue_and_misses_nothing(void **state)
{
    static const size_t windows[] = {8 << 20, 100000};

    (void)state;
    for (size_t i = 0; i < COUNT(windows); i++) {
        struct stage stage;
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[i]}});
        struct reader *slow =
            stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
        struct reader *fast = stage_visit(&stage, &(struct visit){0});
        for (int row = 1; row <= 2000; row += 20) {
            insert_many(&stage, "a", row, row + 19, 1000);
            stage_turn(&stage);
            assert_true(output_pending_bytes(&slow->output) <
                        RECORD_BODY_MAX + RECORD_HEADER);
        }
        WAIT(&stage, reader_rows(fast) == 2000);
        assert_true(is_blocked(slow));
        size_t held = stage.counters.window_bytes;
        assert_true(held < windows[i] + (2 << 20));
        slow->idle = false;
        insert_many(&stage, "a", 2001, 2001, 10);
        WAIT(&stage, reader_rows(slow) == 2001 && reader_rows(fast) == 2001);
        check_counted(slow, 1, 2001);
        check_counted(fast, 1, 2001);
        stage_close(&stage);
    }
}

static char *
make_long_data(size_t len)
{
    char *data = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + (i * 7 + i / 1000) % 26);
    data[len] = '\0';
    return data;
}

/* The page made for the first begins with rows for others, then comes a long event, which the
 * second stands right before. */
static void
test_streams_that_share_a_page_each_get_whole_events(void **state)
{
    struct stage stage;
    char *data = make_long_data(100000);
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    stage_insert(&stage, "b", "not for them");
    stage_insert(&stage, "b", "not for them");
    stage_insert(&stage, "a", data);
    stage_insert(&stage, "a", "after");
    stage_turn(&stage);
    for (int after = 0; after <= 2; after++) {
        struct reader *first =
            stage_visit(&stage, &(struct visit){.query = "channel=a&since=all"});
        struct reader *second = stage_visit(
            &stage, &(struct visit){.query = "channel=a",
                                    .last_event_id = with_id(&stage, id, "", after)});
        WAIT(&stage, reader_has_row(first, "after") && reader_has_row(second, "after"));
        assert_int_equal(second->event_count, 3);
        assert_string_equal(first->events[1].data, data);
        assert_string_equal(second->events[1].data, data);
    }
    free(data);
    stage_close(&stage);
}

/* One that needs dozens of records and even more writes; from the window, and from the table. */
static void
test_a_long_event_reaches_a_slow_reader_byte_for_byte(void **state)
{
    static const size_t windows[] = {8 << 20, 1};

    (void)state;
    for (size_t i = 0; i < COUNT(windows); i++) {
        struct stage stage;
        char *data = make_long_data(1 << 20);
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[i]}});
        struct reader *slow =
            stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
        stage_insert(&stage, "a", "before");
        stage_insert(&stage, "a", data);
        stage_insert(&stage, "a", "after");
        WAIT(&stage, is_blocked(slow));
        slow->idle = false;
        WAIT(&stage, reader_has_row(slow, "after"));
        assert_int_equal(slow->event_count, 4);
        assert_int_equal(slow->events[2].data_len, 1 << 20);
        assert_string_equal(slow->events[2].data, data);
        assert_int_equal(slow->events[3].id, 3);
        free(data);
        stage_close(&stage);
    }
}

/* Half of it is out, and the other half would be of another text: better a broken connection. */
static void
test_an_event_changed_or_deleted_while_half_out_breaks_the_connection(void **state)
{
    static const char *const changes[] = {
        "UPDATE notification SET data = replace(data, 'a', 'b')",
        "DELETE FROM notification"};

    (void)state;
    for (size_t i = 0; i < COUNT(changes); i++) {
        struct stage stage;
        char *data = make_long_data(1 << 20);
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
        struct reader *slow =
            stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
        stage_insert(&stage, "a", data);
        WAIT(&stage, is_blocked(slow));
        stage_sql(&stage, "%s", changes[i]);
        slow->idle = false;
        WAIT(&stage, slow->dropped);
        assert_int_equal(stage.counters.closed[CLOSE_CHANGED], 1);
        assert_int_equal(reader_rows(slow), 0);
        free(data);
        stage_close(&stage);
    }
}

static void
test_a_reader_that_stays_stuck_is_closed(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.stall_ms = 60}});
    struct reader *stuck =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    struct reader *other = stage_visit(&stage, &(struct visit){0});
    insert_many(&stage, "a", 1, 100, 1000);
    WAIT(&stage, stuck->dropped);
    assert_int_equal(stage.counters.closed[CLOSE_STALLED], 1);
    insert_many(&stage, "a", 101, 101, 1000);
    WAIT(&stage, reader_rows(other) == 101);
    assert_int_equal(hub_streams(stage.hub), 1);
    stage_close(&stage);
}

/* However slow: as long as it takes something now and then it is not stuck. */
static void
test_a_slow_reader_that_goes_on_is_not_closed(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.stall_ms = 1000}});
    struct reader *slow =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    insert_many(&stage, "a", 1, 400, 1000);
    WAIT(&stage, is_blocked(slow));
    uint64_t start = uv_hrtime();
    while (uv_hrtime() - start < UINT64_C(2500000000)) {
        assert_true(peer_read(slow->fd, &slow->raw, 300));
        stage_turn(&stage);
        assert_false(slow->dropped);
    }
    slow->idle = false;
    WAIT(&stage, reader_rows(slow) == 400);
    check_counted(slow, 1, 400);
    stage_close(&stage);
}

/* The protocol's own replies (FCGI_GET_VALUES_RESULT and the like) go out on the same wire: what
 * is left of one is flushed through the stream, which does not wait itself. */
static void
test_a_reply_that_is_stuck_on_the_wire_does_not_count_for_the_stream(void **state)
{
    static const char reply[] = "\1\6\0\1\0\3\0\0:\n\n"; /* of a kind that peer.c takes */
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.stall_ms = 100}});
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    for (int i = 0; i < 3; i++)
        stage_turn(&stage);
    reader_stuff(reader);
    assert_int_equal(output_push(&reader->output, (struct slice){reply, sizeof reply - 1}),
                     OUTPUT_BLOCKED);
    output_arm(&reader->output); /* as fastcgi/conn.c does */
    reader->idle = false;
    WAIT(&stage, output_is_clear(&reader->output));
    for (int i = 0; i < 100; i++) /* some of them wait for a tick */
        stage_turn(&stage);
    assert_false(reader->dropped);     /* it has not stalled */
    assert_false(reader->wants_write); /* nor is anything left to write */
    stage_insert(&stage, "a", "x");
    WAIT(&stage, reader_rows(reader) == 1);
    stage_close(&stage);
}

/* --- throttling ------------------------------------------------------------------------------------------------ */

static void
test_a_throttled_stream_ends_on_the_newest_value_of_each_key(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *slow = stage_visit(&stage, &(struct visit){.query = "throttle=150"});
    struct reader *fast = stage_visit(&stage, &(struct visit){0});
    WAIT(&stage, reader_has_text(slow, "open") && reader_has_text(fast, "open"));
    for (int i = 1; i <= 200; i++) {
        stage_sql(&stage, "INSERT INTO notification(collapse_key, data) VALUES (%Q, %d)",
                  i % 2 ? "odd" : "even", i);
        stage_turn(&stage);
    }
    stage_insert(&stage, "a", "no key");
    WAIT(&stage, reader_has_row(fast, "no key") && reader_has_row(slow, "no key"));
    assert_true(reader_has_row(slow, "199") && reader_has_row(slow, "200"));
    assert_true(reader_rows(slow) < reader_rows(fast)); /* some were superseded before their turn */
    int64_t last = 0;
    for (size_t i = 1; i < slow->event_count; i++) {
        assert_true(slow->events[i].id > last);
        last = slow->events[i].id;
    }
    stage_close(&stage);
}

static void
test_a_throttled_stream_leaves_no_row_out_that_has_no_key(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "throttle=40"});
    uint64_t opened = uv_now(&stage.loop);
    for (int i = 1; i <= 100; i++) {
        insert_many(&stage, "a", i, i, 2000);
        stage_turn(&stage);
    }
    WAIT(&stage, reader_rows(reader) == 100);
    check_counted(reader, 1, 100);
    assert_true(uv_now(&stage.loop) - opened >= 40); /* not before its time */
    stage_close(&stage);
}

/* What is cut up only by a full socket is one write, and rests once. */
static void
test_a_throttled_stream_does_not_rest_in_the_middle_of_a_write(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert_many(&stage, "a", 1, 300, 2000);
    struct reader *reader = stage_visit(
        &stage, &(struct visit){.query = "since=all&throttle=1500", .send_bytes = TINY});
    WAIT(&stage, reader_rows(reader) == 300);
    check_counted(reader, 1, 300);
    stage_close(&stage);
}

/* --- heartbeats ------------------------------------------------------------------------------------------------ */

static void
test_a_quiet_stream_hears_a_heartbeat(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.heartbeat_ms = 20}});
    struct reader *comment = stage_visit(&stage, &(struct visit){0});
    struct reader *ping = stage_visit(&stage, &(struct visit){.query = "ping=1"});
    struct reader *ndjson = stage_visit(&stage, &(struct visit){.accept = NDJSON});
    WAIT(&stage, reader_has_text(comment, "\n\n:\n:\n:\n"));
    WAIT(&stage, reader_has_text(ping, "event: rowcast:ping\ndata: {\"last_event_id\":"));
    WAIT(&stage, reader_has_text(ndjson, "\n\n\n\n"));
    assert_false(reader_has_text(comment, ":\nid: ")); /* the cursor has not moved */
    stage_close(&stage);
}

static void
test_a_heartbeat_tells_the_id_that_the_cursor_moved_to(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.heartbeat_ms = 20}});
    struct reader *comment = stage_visit(&stage, &(struct visit){.query = "channel=a"});
    struct reader *ping = stage_visit(&stage, &(struct visit){.query = "channel=a&ping=1"});
    stage_insert(&stage, "b", "not for them");
    WAIT(&stage, reader_has_text(comment, with_id(&stage, id, ":\nid: ", 1)));
    WAIT(&stage, reader_has_text(ping, with_id(&stage, id, "\nid: ", 1)));
    WAIT(&stage, reader_has_text(comment, "\n\n:\n:\n")); /* and it is told once */
    assert_int_equal(reader_rows(comment), 0);
    stage_insert(&stage, "a", "for them");
    WAIT(&stage, reader_rows(comment) == 1 && reader_rows(ping) == 1);
    assert_int_equal(comment->events[comment->event_count - 1].id, 2);
    assert_int_equal(ping->events[ping->event_count - 1].id, 2);
    WAIT(&stage, reader_has_text(comment, "for them\n\n:\n:\n")); /* it knows */
    stage_close(&stage);
}

static void
test_a_heartbeat_that_finds_no_room_is_made_up_for(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.heartbeat_ms = 20}});
    struct reader *reader = stage_visit(
        &stage, &(struct visit){.query = "channel=a", .send_bytes = TINY, .idle = true});
    stage_turn(&stage);
    reader_stuff(reader);
    stage_insert(&stage, "b", "not for it");
    WAIT(&stage, is_blocked(reader));
    reader_read(reader); /* what it was stuffed with, and so the same comments */
    reader->raw.len = 0;
    reader->idle = false;
    WAIT(&stage, reader->raw.len > 100); /* some heartbeats later */
    buf_append(&reader->raw, "", 1);
    assert_non_null(
        memmem(reader->raw.p, reader->raw.len, with_id(&stage, id, "id: ", 1), strlen(id)));
    reader->raw.len = 0;
    stage_close(&stage);
}

/* --- limits and ends --------------------------------------------------------------------------------------------- */

static void
test_a_stream_of_the_maximal_age_is_ended_in_order(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.max_age_ms = 50, .retry_ms = 700}});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    struct reader *ndjson = stage_visit(&stage, &(struct visit){.accept = NDJSON});
    WAIT(&stage, reader->at_end && ndjson->at_end);
    assert_true(reader_has_ended(reader) && reader_has_ended(ndjson));
    assert_true(reader->retry_ms >= 700 && reader->retry_ms <= 1400);
    assert_int_equal(stage.counters.closed[CLOSE_AGED], 2);
    assert_int_equal(hub_streams(stage.hub), 0);
    stage_close(&stage);
}

/* A page that lost its connection comes back while the old stream is still open here. */
static void
test_a_page_takes_its_own_old_streams_place(void **state)
{
    static const struct visit others[] = {
        {.query = "client=tab", .user = "bob"},
        {.query = "client=tab2", .user = "ann"},
        {.user = "ann"},
        {.query = "client=tab", .address = "192.0.2.7"},
    };
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.max_streams = 1}});
    struct reader *first =
        stage_visit(&stage, &(struct visit){.query = "client=tab", .user = "ann"});
    WAIT(&stage, reader_has_text(first, "rowcast:open"));
    for (size_t i = 0; i < COUNT(others); i++) {
        struct reader *other = stage_visit(&stage, &others[i]);
        WAIT(&stage, reader_has_ended(other));
        assert_true(reader_has_text(other, ": too many streams\n"));
    }
    struct reader *second = stage_visit(
        &stage,
        &(struct visit){.query = "client=tab", .user = "ann", .address = "192.0.2.9"});
    WAIT(&stage, reader_has_ended(first) && reader_has_text(second, "rowcast:open"));
    assert_true(reader_has_text(first, ": replaced\n"));
    assert_int_equal(stage.counters.closed[CLOSE_REPLACED], 1);
    assert_int_equal(hub_streams(stage.hub), 1);
    reader_hang_up(second);
    WAIT(&stage, hub_streams(stage.hub) == 0);
    struct reader *third =
        stage_visit(&stage, &(struct visit){.query = "client=tab", .user = "ann"});
    WAIT(&stage, reader_has_text(third, "rowcast:open"));
    assert_int_equal(stage.counters.closed[CLOSE_REPLACED], 1);
    stage_close(&stage);
}

/* Also one that is stuck, and a poll that waits or whose document is not taken. */
static void
test_whatever_the_old_streams_state_its_place_is_free(void **state)
{
    static const struct visit olds[] = {
        {.query = "client=tab&since=all", .send_bytes = 4096, .idle = true},
        {.query = "client=tab&wait=60", .accept = JSON},
        {.query = "client=tab&since=all", .accept = JSON, .send_bytes = 4096, .idle = true},
        {.query = "client=tab&throttle=60000"},
        {.query = "client=tab&last=5"},
    };
    struct stage stage;
    char row[20000];

    (void)state;
    memset(row, 'x', sizeof row);
    row[sizeof row - 1] = '\0';
    stage_open(&stage, &(struct stage_config){.hub = {.max_streams = 1}});
    for (int i = 0; i < 20; i++)
        stage_insert(&stage, "a", row);
    for (size_t i = 0; i < COUNT(olds); i++) {
        stage_visit(&stage, &olds[i]);
        for (int turn = 0; turn < 5; turn++)
            stage_turn(&stage);
        struct reader *next = stage_visit(&stage, &(struct visit){.query = "client=tab"});
        WAIT(&stage, reader_has_text(next, "rowcast:open"));
        assert_int_equal(hub_streams(stage.hub), 1);
        reader_hang_up(next);
        WAIT(&stage, hub_streams(stage.hub) == 0);
    }
    stage_close(&stage);
}

static void
test_one_stream_too_many_is_sent_away_with_status_200(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.max_streams = 2, .retry_ms = 500}});
    stage_visit(&stage, &(struct visit){0});
    stage_visit(&stage, &(struct visit){0});
    struct reader *third = stage_visit(&stage, &(struct visit){0});
    struct reader *json = stage_visit(&stage, &(struct visit){.accept = JSON});
    WAIT(&stage, reader_has_ended(third) && reader_has_ended(json));
    assert_non_null(third->headers.p);
    assert_null(memmem(third->headers.p, third->headers.len, "Status:", 7));
    assert_true(reader_has_text(third, ": too many streams\n"));
    assert_in_range(third->retry_ms, 500, 1500);
    json_t *document = json_loadb(json->body.p, json->body.len, 0, NULL);
    assert_true(json_is_object(document));
    assert_int_equal(json_array_size(json_object_get(document, "events")), 0);
    json_decref(document);
    assert_int_equal(stage.counters.refused, 2);
    assert_int_equal(hub_streams(stage.hub), 2);
    stage_close(&stage);
}

static void
test_an_aborted_request_is_ended(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    struct reader *blocked =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    insert_many(&stage, "a", 1, 100, 1000);
    WAIT(&stage, reader_rows(reader) == 100 && is_blocked(blocked));
    reader->output.ops->gone(&reader->output, GONE_ABORTED);
    blocked->output.ops->gone(&blocked->output, GONE_ABORTED);
    assert_true(reader->released && blocked->released);
    blocked->idle = false;
    WAIT(&stage, reader_has_ended(reader) && reader_has_ended(blocked));
    assert_int_equal(stage.counters.closed[CLOSE_ABORTED], 2);
    stage_close(&stage);
}

static void
test_draining_ends_every_stream_in_order_and_lets_none_in(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.retry_ms = 900}});
    struct reader *live = stage_visit(&stage, &(struct visit){0});
    struct reader *blocked =
        stage_visit(&stage, &(struct visit){.send_bytes = TINY, .idle = true});
    struct reader *throttled =
        stage_visit(&stage, &(struct visit){.query = "throttle=60000"});
    insert_many(&stage, "a", 1, 100, 1000);
    WAIT(&stage, reader_rows(live) == 100 && is_blocked(blocked));
    hub_drain(stage.hub);
    WAIT(&stage, hub_streams(stage.hub) == 0);
    struct reader *late = stage_visit(&stage, &(struct visit){0});
    blocked->idle = false;
    WAIT(&stage, live->at_end && blocked->at_end && throttled->at_end && late->at_end);
    assert_true(reader_has_ended(live) && reader_has_ended(blocked) &&
                reader_has_ended(throttled) && reader_has_ended(late));
    assert_in_range(live->retry_ms, 900, 1800);
    assert_in_range(throttled->retry_ms, 900, 1800);
    assert_true(reader_has_text(late, ": restarting\n"));
    assert_int_equal(stage.counters.closed[CLOSE_DRAINED], 3);
    stage_close(&stage);
}

/* An answer without headers is a bad gateway to the web server, and the browser gives up. */
static void
test_draining_answers_polls_that_wait(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *poll =
        stage_visit(&stage, &(struct visit){.query = "wait=60", .accept = JSON});
    stage_turn(&stage);
    hub_drain(stage.hub);
    WAIT(&stage, poll->at_end);
    assert_true(reader_has_ended(poll));
    assert_non_null(poll->headers.p);
    json_t *document = json_loadb(poll->body.p, poll->body.len, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(document, "events")), 0);
    assert_true(json_is_string(json_object_get(document, "last_event_id")));
    json_decref(document);
    stage_close(&stage);
}

/* The same for one whose start is still being sought, as the database is locked. */
static void
test_draining_gives_headers_to_those_that_have_none_yet(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.journal = STORE_JOURNAL_KEEP});
    stage_insert(&stage, "a", "x");
    stage_turn(&stage);
    stage_sql(&stage, "BEGIN EXCLUSIVE");
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "last=5"});
    stage_turn(&stage);
    hub_drain(stage.hub);
    stage_sql(&stage, "ROLLBACK");
    WAIT(&stage, reader->at_end);
    assert_true(reader_has_ended(reader));
    assert_non_null(reader->headers.p);
    assert_int_equal(memcmp(reader->headers.p, "Content-Type: text/event-stream;", 32), 0);
    stage_close(&stage);
}

static void
test_a_poll_that_is_ended_before_its_start_is_found_says_so(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.journal = STORE_JOURNAL_KEEP});
    stage_insert(&stage, "a", "x");
    stage_turn(&stage);
    stage_sql(&stage, "BEGIN EXCLUSIVE");
    struct reader *drained =
        stage_visit(&stage, &(struct visit){.query = "last=5", .accept = JSON});
    struct reader *in_vain =
        stage_visit(&stage, &(struct visit){.query = "last=5&wait=1", .accept = JSON});
    WAIT(&stage, in_vain->at_end);
    hub_drain(stage.hub);
    stage_sql(&stage, "ROLLBACK");
    WAIT(&stage, drained->at_end);
    check_document(drained, NO_CURSOR, NULL, "");
    check_document(in_vain, NO_CURSOR, NULL, "");
    stage_close(&stage);
}

/* --- documents ------------------------------------------------------------------------------------------------------ */

static void
test_a_poll_is_one_document_with_what_there_is(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (int i = 0; i < 6; i++)
        stage_insert(&stage, i % 2 ? "b" : "a", "x");
    const struct {
        const char *query;
        int64_t after; /* < 0: no Last-Event-ID */
        int64_t cursor;
        const char *ids;
    } cases[] = {{"", -1, 6, ""},
                 {"since=all", -1, 6, "1 2 3 4 5 6"},
                 {"channel=a", 1, 6, "3 5"},
                 {"channel=a&last=2", -1, 6, "3 5"},
                 {"channel=c&last=2", -1, 6, ""},
                 {"channel=c", 0, 6, ""},
                 {"wait=1", 5, 6, "6"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reader *reader = stage_visit(
            &stage, &(struct visit){.query = cases[i].query,
                                    .accept = JSON,
                                    .last_event_id =
                                        cases[i].after < 0
                                            ? NULL
                                            : with_id(&stage, id, "", cases[i].after)});
        WAIT(&stage, reader->at_end);
        check_document(reader, cases[i].cursor, NULL, cases[i].ids);
    }
    struct reader *gap =
        stage_visit(&stage, &(struct visit){.accept = JSON,
                                            .last_event_id = with_id(&stage, id, "", 99)});
    WAIT(&stage, gap->at_end);
    check_document(gap, 6, "reset", "");
    stage_close(&stage);
}

/* Each comes in the same turn as one from the start, whose page it finds made already. */
static void
test_polls_that_come_together_get_each_its_own_rows(void **state)
{
    struct stage stage;
    char id[64];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert_many(&stage, "a", 1, 20, 1500);
    stage_turn(&stage);
    for (int after = 0; after <= 20; after++) {
        struct buf ids = {0};
        struct reader *first =
            stage_visit(&stage, &(struct visit){.query = "since=all", .accept = JSON});
        struct reader *second = stage_visit(
            &stage, &(struct visit){.accept = JSON,
                                    .last_event_id = with_id(&stage, id, "", after)});
        WAIT(&stage, first->at_end && second->at_end);
        for (int row = after + 1; row <= 20; row++)
            buf_printf(&ids, "%s%d", row > after + 1 ? " " : "", row);
        buf_append(&ids, "", 1);
        check_document(second, 20, NULL, ids.p);
        buf_fini(&ids);
    }
    stage_close(&stage);
}

/* One page at a time; each begins where the one before said. */
static void
test_polls_lead_through_a_long_table(void **state)
{
    struct stage stage;
    int64_t cursor = 0;
    size_t rows = 0;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    insert_many(&stage, "a", 1, 3000, 100);
    for (int polls = 0; cursor < 3000 && polls < 1000; polls++) {
        char id[64];
        struct reader *reader = stage_visit(
            &stage, &(struct visit){.accept = JSON,
                                    .last_event_id = with_id(&stage, id, "", cursor)});
        WAIT(&stage, reader->at_end && reader_has_ended(reader));
        json_t *document = json_loadb(reader->body.p, reader->body.len, 0, NULL);
        const json_t *event;
        size_t i;
        json_array_foreach(json_object_get(document, "events"), i, event)
        {
            const char *data = json_string_value(json_object_get(event, "data"));
            assert_int_equal(atoi(data), ++rows);
        }
        cursor = atoll(json_string_value(json_object_get(document, "last_event_id"))) -
                 stage.base;
        json_decref(document);
    }
    assert_int_equal(rows, 3000);
    stage_close(&stage);
}

static void
test_a_long_poll_waits_for_a_first_row(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "channel=a&wait=60", .accept = JSON});
    stage_insert(&stage, "b", "not for it");
    for (int i = 0; i < 10; i++)
        stage_turn(&stage);
    assert_int_equal(reader->raw.len, 0);
    insert_many(&stage, "a", 1, 2, 10);
    WAIT(&stage, reader->at_end);
    check_document(reader, 3, NULL, "2 3");

    struct reader *in_vain =
        stage_visit(&stage, &(struct visit){.query = "wait=1", .accept = JSON});
    stage_sql(&stage, "INSERT INTO notification(data, recipient) VALUES ('x', 'else')");
    WAIT(&stage, in_vain->at_end);
    check_document(in_vain, 4, NULL, "");
    assert_int_equal(stage.counters.closed[CLOSE_ANSWERED], 2);
    stage_close(&stage);
}

static void
test_a_document_reaches_a_slow_reader_whole(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    insert_many(&stage, "a", 1, 50, 1000);
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "since=all",
                                                                .accept = JSON,
                                                                .send_bytes = TINY,
                                                                .idle = true,
                                                                .request_id = 77});
    WAIT(&stage, is_blocked(reader));
    assert_int_equal(hub_streams(stage.hub), 1); /* until the last byte is out */
    reader->idle = false;
    WAIT(&stage, reader->at_end);
    assert_int_equal(hub_streams(stage.hub), 0);
    assert_true(reader_has_ended(reader));
    json_t *document = json_loadb(reader->body.p, reader->body.len, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(document, "events")), 50);
    json_decref(document);
    stage_close(&stage);
}

static void
test_a_document_that_is_not_taken_counts_to_the_limits_and_stalls(void **state)
{
    struct stage stage;
    struct visit visit = {
        .query = "since=all", .accept = JSON, .send_bytes = TINY, .idle = true};

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.max_streams = 1, .stall_ms = 50}});
    insert_many(&stage, "a", 1, 50, 1000);
    struct reader *unread = stage_visit(&stage, &visit);
    WAIT(&stage, is_blocked(unread));
    visit.idle = false;
    struct reader *refused = stage_visit(&stage, &visit);
    WAIT(&stage, refused->at_end);
    check_document(refused, NO_CURSOR, NULL, "");
    WAIT(&stage, unread->dropped);
    assert_int_equal(hub_streams(stage.hub), 0);
    assert_int_equal(stage.counters.closed[CLOSE_STALLED], 1);
    stage_close(&stage);
}

/* 1 MB of control characters are 6 MB of JSON: more than was ever kept for an answer. */
static void
test_a_document_with_a_large_row_is_complete(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    stage_sql(&stage, "INSERT INTO notification(data)"
                      " SELECT replace(hex(zeroblob(500000)), '0', char(1))");
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "since=all", .accept = JSON});
    WAIT(&stage, reader->at_end);
    check_document(reader, 1, NULL, "1");
    stage_close(&stage);
}

/* --- private rows ----------------------------------------------------------------------------------------------------- */

static bool
sees(struct reader *reader, const char *text)
{
    reader_rows(reader); /* parses */
    return memmem(reader->raw.p, reader->raw.len, text, strlen(text)) != NULL;
}

/* Live, resumed and sought, as stream and as document, for one, for another, for nobody. */
static void
test_a_private_row_reaches_its_user_and_nobody_else(void **state)
{
    static const char *const users[] = {"anna", "bob", NULL};
    static const struct {
        const char *query;
        const char *accept;
    } ways[] = {{"", NULL},
                {"channel=a", NULL},
                {"throttle=10", NULL},
                {"", NDJSON},
                {"envelope=1", NULL},
                {"since=all", NULL},
                {"since=all&channel=a", NDJSON},
                {"channel=%3F&last=100", NULL},
                {"last=1000", NDJSON},
                {"since=all", JSON}};
    static const size_t windows[] = {4 << 20, 1};

    (void)state;
    for (size_t w = 0; w < COUNT(windows); w++) {
        struct stage stage;
        struct reader *readers[COUNT(ways)][COUNT(users)];
        stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = windows[w]}});
        for (int round = 0; round < 2; round++) { /* old rows, then new ones */
            if (round == 1)
                for (size_t i = 0; i < COUNT(ways) * COUNT(users); i++)
                    readers[i / COUNT(users)][i % COUNT(users)] = stage_visit(
                        &stage, &(struct visit){.query = ways[i / COUNT(users)].query,
                                                .accept = ways[i / COUNT(users)].accept,
                                                .user = users[i % COUNT(users)]});
            for (int i = 0; i < 10; i++)
                stage_sql(&stage,
                          "INSERT INTO notification(channel, recipient, data) VALUES"
                          " ('a', 'anna', 'for-anna'), ('a', NULL, 'for-all'),"
                          " ('a', 'bob', 'for-bob'), ('a', 'Anna', 'for-Anna'),"
                          " ('a', '', 'for-nobody')");
            stage_turn(&stage);
        }
        stage_insert(&stage, "a", "the end");
        for (size_t i = 0; i < COUNT(ways) * COUNT(users); i++) {
            struct reader *reader = readers[i / COUNT(users)][i % COUNT(users)];
            const char *user = users[i % COUNT(users)];
            WAIT(&stage, sees(reader, "the end") || reader->at_end);
            assert_true(sees(reader, "for-all"));
            assert_int_equal(sees(reader, "for-anna"),
                             user != NULL && strcmp(user, "anna") == 0);
            assert_int_equal(sees(reader, "for-bob"),
                             user != NULL && strcmp(user, "bob") == 0);
            assert_false(sees(reader, "for-Anna") || sees(reader, "for-nobody"));
        }
        stage_close(&stage);
    }
}

/* --- trouble with the database ------------------------------------------------------------------------------------------ */

static void
test_streams_outlast_a_locked_database(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage,
               &(struct stage_config){.hub = {.heartbeat_ms = 20, .window_bytes = 1},
                                      .journal = STORE_JOURNAL_KEEP});
    struct reader *reader = stage_visit(&stage, &(struct visit){.query = "channel=a"});
    stage_insert(&stage, "a", "before");
    WAIT(&stage, reader_rows(reader) == 1);
    stage_sql(&stage, "BEGIN EXCLUSIVE");
    stage_insert(&stage, "a", "locked in");
    struct reader *late = stage_visit(&stage, &(struct visit){.query = "since=all"});
    size_t before = reader->raw.len;
    uint64_t start = uv_hrtime();
    while (uv_hrtime() - start <
           UINT64_C(1500000000)) { /* the feed looks ever more rarely */
        stage_turn(&stage);
        assert_null(feed_lasting_trouble(stage.feed)); /* it is ordinary, for a while */
    }
    assert_non_null(feed_trouble(stage.feed));
    assert_false(stage_has_logged(&stage, ": error: "));
    assert_true(reader->raw.len >= before + 3 * 11); /* heartbeats went on */
    assert_int_equal(reader_rows(reader), 1);
    stage_sql(&stage, "COMMIT");
    WAIT(&stage, reader_rows(reader) == 2);
    WAIT(&stage, feed_trouble(stage.feed) == NULL);
    WAIT(&stage, reader_rows(late) == 2 || reader_has_ended(late));
    assert_non_null(late->headers.p);
    stage_close(&stage);
}

static void
test_a_transaction_that_is_rolled_back_shows_nothing(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){0});
    stage_sql(&stage, "BEGIN");
    insert_many(&stage, "a", 1, 500, 1000);
    for (int i = 0; i < 5; i++)
        stage_turn(&stage);
    stage_sql(&stage, "ROLLBACK");
    stage_insert(&stage, "a", "1 kept");
    WAIT(&stage, reader_rows(reader) == 1);
    check_transcript(reader, "open:0 1:message:1 kept");
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_opens_at_the_tail_and_gets_what_is_new),
        cmocka_unit_test(test_rows_of_a_batch_come_in_one_write_and_in_order),
        cmocka_unit_test(test_every_stream_gets_every_row_once_while_others_come_and_go),
        cmocka_unit_test(test_patterns_and_channels_let_through_what_matches),
        cmocka_unit_test(test_all_representations_speak_of_the_same_rows),
        cmocka_unit_test(test_a_peer_with_another_request_id_gets_its_own),
        cmocka_unit_test(test_a_row_that_is_too_large_is_announced),
        cmocka_unit_test(test_resume_brings_what_was_missed_and_then_what_is_new),
        cmocka_unit_test(test_since_all_brings_all_and_of_an_empty_table_nothing),
        cmocka_unit_test(test_a_first_visit_is_told_of_no_gap),
        cmocka_unit_test(test_a_cold_hub_reads_nothing_at_its_start),
        cmocka_unit_test(test_a_long_replay_meets_the_live_end_without_a_seam),
        cmocka_unit_test(test_many_that_resume_from_one_place_each_get_it_all),
        cmocka_unit_test(test_an_id_that_another_worker_gave_out_is_no_gap),
        cmocka_unit_test(test_expired_rows_are_not_sent),
        cmocka_unit_test(test_superseded_rows_are_left_out_of_a_replay),
        cmocka_unit_test(test_last_gives_the_newest_rows_of_the_filter_and_goes_on),
        cmocka_unit_test(test_last_does_not_count_rows_that_a_newer_one_replaces),
        cmocka_unit_test(test_last_looks_far_back_where_rows_are_rare),
        cmocka_unit_test(test_a_gap_is_told_when_a_stream_opens_behind_one),
        cmocka_unit_test(test_rows_deleted_before_they_were_seen_are_a_gap_to_live_streams),
        cmocka_unit_test(test_a_prune_in_the_middle_of_a_replay_is_told),
        cmocka_unit_test(test_a_prune_under_a_blocked_reader_is_told_when_it_reads_on),
        cmocka_unit_test(test_a_gap_that_finds_the_socket_full_is_told_later),
        cmocka_unit_test(test_another_database_at_the_path_is_told),
        cmocka_unit_test(test_a_restored_backup_is_told),
        cmocka_unit_test(test_the_same_history_in_another_file_is_no_gap),
        cmocka_unit_test(
            test_a_reader_that_does_not_read_costs_no_queue_and_misses_nothing),
        cmocka_unit_test(test_streams_that_share_a_page_each_get_whole_events),
        cmocka_unit_test(test_a_long_event_reaches_a_slow_reader_byte_for_byte),
        cmocka_unit_test(
            test_an_event_changed_or_deleted_while_half_out_breaks_the_connection),
        cmocka_unit_test(test_a_reader_that_stays_stuck_is_closed),
        cmocka_unit_test(test_a_slow_reader_that_goes_on_is_not_closed),
        cmocka_unit_test(
            test_a_reply_that_is_stuck_on_the_wire_does_not_count_for_the_stream),
        cmocka_unit_test(test_a_throttled_stream_ends_on_the_newest_value_of_each_key),
        cmocka_unit_test(test_a_throttled_stream_leaves_no_row_out_that_has_no_key),
        cmocka_unit_test(test_a_throttled_stream_does_not_rest_in_the_middle_of_a_write),
        cmocka_unit_test(test_a_quiet_stream_hears_a_heartbeat),
        cmocka_unit_test(test_a_heartbeat_tells_the_id_that_the_cursor_moved_to),
        cmocka_unit_test(test_a_heartbeat_that_finds_no_room_is_made_up_for),
        cmocka_unit_test(test_a_stream_of_the_maximal_age_is_ended_in_order),
        cmocka_unit_test(test_a_page_takes_its_own_old_streams_place),
        cmocka_unit_test(test_whatever_the_old_streams_state_its_place_is_free),
        cmocka_unit_test(test_one_stream_too_many_is_sent_away_with_status_200),
        cmocka_unit_test(test_an_aborted_request_is_ended),
        cmocka_unit_test(test_draining_ends_every_stream_in_order_and_lets_none_in),
        cmocka_unit_test(test_draining_answers_polls_that_wait),
        cmocka_unit_test(test_draining_gives_headers_to_those_that_have_none_yet),
        cmocka_unit_test(test_a_poll_that_is_ended_before_its_start_is_found_says_so),
        cmocka_unit_test(test_a_poll_is_one_document_with_what_there_is),
        cmocka_unit_test(test_polls_that_come_together_get_each_its_own_rows),
        cmocka_unit_test(test_polls_lead_through_a_long_table),
        cmocka_unit_test(test_a_long_poll_waits_for_a_first_row),
        cmocka_unit_test(test_a_document_reaches_a_slow_reader_whole),
        cmocka_unit_test(test_a_document_that_is_not_taken_counts_to_the_limits_and_stalls),
        cmocka_unit_test(test_a_document_with_a_large_row_is_complete),
        cmocka_unit_test(test_a_private_row_reaches_its_user_and_nobody_else),
        cmocka_unit_test(test_streams_outlast_a_locked_database),
        cmocka_unit_test(test_a_transaction_that_is_rolled_back_shows_nothing),
    };

    return RUN(tests);
}
