/* test_fanout.c - streams at the tail: what a new row brings to each of them, in which form and in
 * how many writes; and what a writer's lock or rollback does to them. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include "hub_bench.h"

#define TEST_NAME "fanout"

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
test_all_representations_have_the_same_rows(void **state)
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
        cmocka_unit_test(test_all_representations_have_the_same_rows),
        cmocka_unit_test(test_a_peer_with_another_request_id_gets_its_own),
        cmocka_unit_test(test_a_row_that_is_too_large_is_announced),
        cmocka_unit_test(test_streams_outlast_a_locked_database),
        cmocka_unit_test(test_a_transaction_that_is_rolled_back_shows_nothing),
    };

    return RUN(tests);
}
