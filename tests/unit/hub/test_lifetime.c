/* test_lifetime.c - how streams end: by age, by a newer stream of the same page, by the limit of
 * streams, by an aborted request, by a drain. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include <jansson.h>

#include "hub_bench.h"

#define TEST_NAME "lifetime"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_of_the_maximal_age_is_ended_in_order),
        cmocka_unit_test(test_a_page_takes_its_own_old_streams_place),
        cmocka_unit_test(test_whatever_the_old_streams_state_its_place_is_free),
        cmocka_unit_test(test_one_stream_too_many_is_sent_away_with_status_200),
        cmocka_unit_test(test_an_aborted_request_is_ended),
        cmocka_unit_test(test_draining_ends_every_stream_in_order_and_lets_none_in),
        cmocka_unit_test(test_draining_gives_headers_to_those_that_have_none_yet),
    };

    return RUN(tests);
}
