/* test_table_state.c - streams that begin with the rows of a table: parts are shared by those who
 * may see the same, and by nobody else; a state that is broken off begins anew. */
#include "config.h"

#include "hub/state.h"

#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "table_state"

static void
track(struct stage *stage, const struct track_request *request)
{
    struct store_config config = {
        .path = stage->path, .table = "notification", .mode = STORE_WRITE, .busy_ms = 5000};
    struct buf said = {0};
    enum track_outcome outcome;
    struct store *store = store_open(&config, NULL, &stage->error);

    assert_non_null(store);
    CHECK(track_apply(store, request, &outcome, &said, &stage->error) == STORE_OK, "%s\n",
          stage->error.text);
    store_close(store);
    buf_fini(&said);
}

/* Rows 1 to count of the table t; every third is ann's, every third bob's. */
static void
open_with_table(struct stage *stage, int count)
{
    stage_open(stage, &(struct stage_config){.hub = {.max_event_bytes = 1048576}});
    stage_sql(stage, "CREATE TABLE t(id INTEGER PRIMARY KEY, owner TEXT, v TEXT)");
    stage_sql(
        stage,
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO t SELECT i, CASE i %% 3 WHEN 1 THEN 'ann' WHEN 2 THEN 'bob' END, "
        "printf('%%.*c', 100, 'x') FROM n",
        count);
    track(stage, &(struct track_request){.table = "t", .recipient = "owner"});
}

static bool
is_whole(struct reader *reader)
{
    return reader_has_text(reader, "\"more\":false");
}

/* Parts that the reader has got. */
static size_t
parts_of(struct reader *reader)
{
    size_t count = 0;

    reader_rows(reader);
    for (size_t i = 0; i < reader->event_count; i++)
        count += strcmp(reader->events[i].type, "rowcast:state") == 0;
    return count;
}

static void
test_pages_that_may_see_the_same_share_the_parts(void **state)
{
    struct stage stage;
    struct reader *readers[30];

    (void)state;
    open_with_table(&stage, 2400);
    for (size_t i = 0; i < COUNT(readers); i++)
        readers[i] =
            stage_visit(&stage, &(struct visit){.query = "state=t", .user = "ann"});
    for (size_t i = 0; i < COUNT(readers); i++)
        WAIT(&stage, is_whole(readers[i]));
    size_t parts = parts_of(readers[0]);
    assert_true(parts >= 4);
    CHECK(stage.hub->part_serial < 3 * parts, "%zu parts were read %llu times\n", parts,
          (unsigned long long)stage.hub->part_serial);
    assert_int_equal(stage.counters.states, COUNT(readers));
    stage_close(&stage);
}

static void
test_no_user_gets_a_part_of_another(void **state)
{
    static const char *const users[] = {NULL, "ann", "bob"};
    struct stage stage;
    struct reader *readers[24];

    (void)state;
    open_with_table(&stage, 1500);
    for (size_t i = 0; i < COUNT(readers); i++)
        readers[i] =
            stage_visit(&stage, &(struct visit){.query = "state=t", .user = users[i % 3]});
    for (size_t i = 0; i < COUNT(readers); i++) {
        WAIT(&stage, is_whole(readers[i]));
        assert_true(reader_has_text(readers[i], "\"owner\":null"));
        for (size_t user = 1; user < COUNT(users); user++) {
            char owner[32];
            snprintf(owner, sizeof owner, "\"owner\":\"%s\"", users[user]);
            assert_int_equal(reader_has_text(readers[i], owner), user == i % 3);
        }
    }
    stage_close(&stage);
}

static void
test_one_who_comes_later_gets_what_has_changed_since(void **state)
{
    struct stage stage;

    (void)state;
    open_with_table(&stage, 30);
    struct reader *first = stage_visit(&stage, &(struct visit){.query = "state=t"});
    WAIT(&stage, is_whole(first));
    stage_sql(&stage, "UPDATE t SET v = 'new' WHERE id = 3");
    struct reader *second = stage_visit(&stage, &(struct visit){.query = "state=t"});
    WAIT(&stage, is_whole(second));
    WAIT(&stage,
         reader_has_text(second, "\"v\":\"new\"")); /* in the rows, or as a change */
    WAIT(&stage, reader_has_text(first, "\"op\":\"update\",\"key\":{\"id\":3}"));
    stage_close(&stage);
}

static void
test_a_replaced_database_begins_the_state_again(void **state)
{
    struct stage stage;

    (void)state;
    open_with_table(&stage, 12000);
    struct reader *reader =
        stage_visit(&stage, &(struct visit){.query = "state=t", .send_bytes = 4096});
    WAIT(&stage, parts_of(reader) == 1);
    stage_replace_database(&stage);
    WAIT(&stage, reader_has_text(reader, "is not tracked any more"));
    assert_false(is_whole(reader));
    stage_close(&stage);
}

static void
test_what_a_reader_does_not_take_counts_until_it_is_gone(void **state)
{
    struct stage stage;

    (void)state;
    open_with_table(&stage, 12000);
    struct reader *reader = stage_visit(
        &stage, &(struct visit){.query = "state=t", .send_bytes = 4096, .idle = true});
    WAIT(&stage, reader->wants_write && stage.hub->held > 0);
    assert_true(stage.hub->held < 65536 + 4096);
    reader_hang_up(reader);
    WAIT(&stage, stage.hub->held == 0);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_that_may_see_the_same_share_the_parts),
        cmocka_unit_test(test_no_user_gets_a_part_of_another),
        cmocka_unit_test(test_one_who_comes_later_gets_what_has_changed_since),
        cmocka_unit_test(test_a_replaced_database_begins_the_state_again),
        cmocka_unit_test(test_what_a_reader_does_not_take_counts_until_it_is_gone),
    };

    return RUN(tests);
}
