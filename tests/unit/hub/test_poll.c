/* test_poll.c - requests that want one JSON document: what is in it, long polls that wait for a
 * row, readers that take it slowly or not at all, and drains. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include <jansson.h>

#include "hub_bench.h"

#define TEST_NAME "poll"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draining_answers_polls_that_wait),
        cmocka_unit_test(test_a_poll_that_is_ended_before_its_start_is_found_says_so),
        cmocka_unit_test(test_a_poll_is_one_document_with_what_there_is),
        cmocka_unit_test(test_polls_that_come_together_get_each_its_own_rows),
        cmocka_unit_test(test_polls_lead_through_a_long_table),
        cmocka_unit_test(test_a_long_poll_waits_for_a_first_row),
        cmocka_unit_test(test_a_document_reaches_a_slow_reader_whole),
        cmocka_unit_test(test_a_document_that_is_not_taken_counts_to_the_limits_and_stalls),
        cmocka_unit_test(test_a_document_with_a_large_row_is_complete),
    };

    return RUN(tests);
}
