/* test_gaps.c - rows that a stream can no longer get: pruned ones, and those of a database that was
 * replaced or restored. Each is a gap event, also to a reader that is slow. On a real database. */
#include "config.h"

#include "hub/hub.h"

#include "hub_bench.h"

#define TEST_NAME "gaps"

static void
test_a_stream_that_opens_behind_a_gap_gets_it(void **state)
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
test_a_prune_in_the_middle_of_a_replay_is_a_gap(void **state)
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
test_a_prune_under_a_blocked_reader_is_a_gap_when_it_reads_again(void **state)
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
test_a_gap_that_finds_the_socket_full_comes_later(void **state)
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
test_another_database_at_the_path_is_a_gap(void **state)
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
test_a_restored_backup_is_a_gap(void **state)
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

/* It meets the gap long after the others, when there are new rows with the ids of the old ones. */
static void
test_a_blocked_reader_gets_what_came_after_a_restore(void **state)
{
    struct stage stage;
    char copy[128];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct reader *reader = stage_visit(&stage, &(struct visit){.send_bytes = TINY});
    struct reader *other = stage_visit(&stage, &(struct visit){0});
    stage_insert(&stage, "a", "1");
    snprintf(copy, sizeof copy, "%s/backup.db", stage.folder);
    stage_sql(&stage, "VACUUM INTO %Q", copy);
    stage_insert(&stage, "a", "2");
    WAIT(&stage, reader_rows(reader) == 2);
    reader->idle = true;
    reader_stuff(reader);
    stage_insert(&stage, "a", "3");
    WAIT(&stage, is_blocked(reader) && reader_rows(other) == 3);
    stage_put_in_place(&stage, copy);
    WAIT(&stage, reader_has_text(other, "gap"));
    stage_insert(&stage, "a", "new 2");
    stage_insert(&stage, "a", "new 3");
    WAIT(&stage, reader_has_row(other, "new 3"));
    reader->idle = false;
    WAIT(&stage, reader_has_row(reader, "new 3"));
    check_transcript(reader, "open:0 1:message:1 2:message:2 gap:reset:2-1 "
                             "2:message:new 2 3:message:new 3");
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_that_opens_behind_a_gap_gets_it),
        cmocka_unit_test(test_rows_deleted_before_they_were_seen_are_a_gap_to_live_streams),
        cmocka_unit_test(test_a_prune_in_the_middle_of_a_replay_is_a_gap),
        cmocka_unit_test(test_a_prune_under_a_blocked_reader_is_a_gap_when_it_reads_again),
        cmocka_unit_test(test_a_gap_that_finds_the_socket_full_comes_later),
        cmocka_unit_test(test_another_database_at_the_path_is_a_gap),
        cmocka_unit_test(test_a_restored_backup_is_a_gap),
        cmocka_unit_test(test_a_blocked_reader_gets_what_came_after_a_restore),
        cmocka_unit_test(test_the_same_history_in_another_file_is_no_gap),
    };

    return RUN(tests);
}
