/* test_pace.c - streams that take less than there is: slow readers, blocked and stalled ones, those
 * that asked for throttle=; and heartbeats on streams that have nothing to send. On a real
 * database. */
#include "config.h"

#include "hub/hub.h"

#include "fastcgi/records.h"

#include "hub_bench.h"

#define TEST_NAME "pace"

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
    assert_true(reader_rows(slow) <
                reader_rows(fast)); /* some were superseded before their turn */
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
test_a_heartbeat_has_the_id_that_the_cursor_moved_to(void **state)
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_a_heartbeat_has_the_id_that_the_cursor_moved_to),
        cmocka_unit_test(test_a_heartbeat_that_finds_no_room_is_made_up_for),
    };

    return RUN(tests);
}
