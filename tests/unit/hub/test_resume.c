/* test_resume.c - where a stream begins: Last-Event-ID, since=, last=N; and the replay from there
 * up to the tail, from the window and from the table. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include "hub_bench.h"

#define TEST_NAME "resume"

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
test_a_first_visit_gets_no_gap(void **state)
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

/* As under CGI: nothing is read before somebody asks, and what is asked for comes from the
 * table. */
static void
test_a_cold_hub_reads_nothing_at_its_start(void **state)
{
    static const struct hub_config kinds[] = {{.starts_cold = false},
                                              {.starts_cold = true}};

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_brings_what_was_missed_and_then_what_is_new),
        cmocka_unit_test(test_since_all_brings_all_and_of_an_empty_table_nothing),
        cmocka_unit_test(test_a_first_visit_gets_no_gap),
        cmocka_unit_test(test_a_cold_hub_reads_nothing_at_its_start),
        cmocka_unit_test(test_a_long_replay_meets_the_live_end_without_a_seam),
        cmocka_unit_test(test_many_that_resume_from_one_place_each_get_it_all),
        cmocka_unit_test(test_an_id_that_another_worker_gave_out_is_no_gap),
        cmocka_unit_test(test_expired_rows_are_not_sent),
        cmocka_unit_test(test_superseded_rows_are_left_out_of_a_replay),
        cmocka_unit_test(test_last_gives_the_newest_rows_of_the_filter_and_goes_on),
        cmocka_unit_test(test_last_does_not_count_rows_that_a_newer_one_replaces),
        cmocka_unit_test(test_last_looks_far_back_where_rows_are_rare),
    };

    return RUN(tests);
}
