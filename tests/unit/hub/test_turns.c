/* test_turns.c - no replay, search or crowd of them holds the loop: what a turn costs, and who gets
 * the next one. Costs are CPU time of this thread, so that a loaded machine changes nothing. */
#include "config.h"

#include <time.h>

#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "turns"

#define ROWS 60000
#define READERS 20
/* doc/OPERATIONS.md, "What bounds each resource": some milliseconds. */
#define TURN_CPU_MS 20

/* None of them matches any row. */
#define NO_ROWS "channel=zz*z*z&channel=[x-z]*q*q&since=all"

static double
cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void
insert_rows(struct stage *stage, const char *channel, int rows)
{
    stage_sql(
        stage,
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO notification(channel, data) SELECT %Q || (i %% 50), i FROM n",
        rows, channel);
}

static void
open_stage(struct stage *stage)
{
    /* A window too small to be of use: rows come from the table. */
    stage_open(stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    insert_rows(stage, "orders", ROWS);
    WAIT(stage, feed_tail(stage->feed) == stage->base + ROWS);
}

static size_t
behind(const struct stage *stage)
{
    return stage->counters.behind;
}

/* Turns until no stream is behind; none may cost more than TURN_CPU_MS. */
static void
check_turns(struct stage *stage)
{
    double most = 0;
    while (behind(stage) > 0) {
        double began = cpu_ms();
        stage_step(stage);
        double cost = cpu_ms() - began;
        most = cost > most ? cost : most;
    }
    CHECK(most < TURN_CPU_MS, "a turn of %.1f ms\n", most);
}

static void
test_replays_that_match_nothing_cost_little_in_a_turn(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    for (int i = 0; i < READERS; i++)
        stage_visit(&stage, &(struct visit){.query = NO_ROWS});
    assert_int_equal(behind(&stage), READERS);
    check_turns(&stage);
    stage_close(&stage);
}

static void
test_searches_for_rare_rows_cost_little_in_a_turn(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    for (int i = 0; i < READERS; i++)
        stage_visit(&stage, &(struct visit){.query = "channel=zz*&last=1000"});
    assert_int_equal(behind(&stage), READERS);
    check_turns(&stage);
    stage_close(&stage);
}

static void
test_a_newcomer_does_not_wait_behind_long_replays(void **state)
{
    struct stage stage;
    struct reader *others[READERS];
    int turns = 0;

    (void)state;
    open_stage(&stage);
    stage_insert(&stage, "mine", "new");
    for (int i = 0; i < READERS; i++)
        others[i] = stage_visit(&stage, &(struct visit){.query = NO_ROWS "&ping=1"});
    for (int i = 0; i < READERS; i++)
        stage_step(&stage); /* their first steps */
    assert_true(behind(&stage) > READERS / 2);
    struct reader *newcomer =
        stage_visit(&stage, &(struct visit){.query = "channel=mine&since=1h"});
    for (; reader_rows(newcomer) == 0; turns++) {
        stage_step(&stage);
        reader_read(newcomer);
        CHECK(turns < 10 * READERS, "waits for %d turns\n", turns);
    }
    assert_true(reader_has_row(newcomer, "new"));
    assert_true(behind(&stage) > 0);
    assert_non_null(others[0]);
    stage_close(&stage);
}

static void
test_replays_of_one_address_do_not_slow_down_those_of_others(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    for (int i = 0; i < READERS; i++)
        stage_visit(&stage, &(struct visit){.query = NO_ROWS, .address = "192.0.2.1"});
    stage_visit(&stage, &(struct visit){.query = NO_ROWS, .address = "198.51.100.7"});
    /* It gets every other turn, so it is done while the many are not. */
    WAIT(&stage, behind(&stage) == READERS);
    stage_close(&stage);
}

static void
test_a_stream_at_the_tail_is_live_at_once(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    for (int i = 0; i < READERS; i++)
        stage_visit(&stage, &(struct visit){.query = NO_ROWS});
    stage_visit(&stage, &(struct visit){0});
    assert_int_equal(behind(&stage), READERS);
    stage_close(&stage);
}

/* More rows than a search may look at, and the only match is the oldest. */
static void
test_a_search_stops_and_says_so(void **state)
{
    static const char *const types[] = {"text/event-stream", "application/x-ndjson",
                                        "application/json"};
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = 1}});
    stage_insert(&stage, "rare", "oldest");
    insert_rows(&stage, "orders", 250000);
    WAIT(&stage, feed_tail(stage.feed) == stage.base + 250001);
    for (size_t i = 0; i < COUNT(types); i++) {
        char said[64];
        struct reader *reader = stage_visit(
            &stage, &(struct visit){.query = "channel=rar*&last=5", .accept = types[i]});
        snprintf(said, sizeof said, "\"searched_to\":\"%lld\"",
                 (long long)(stage.base + 50002));
        WAIT(&stage, reader_has_text(reader, said));
        assert_false(reader_has_text(reader, "oldest"));
    }
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replays_that_match_nothing_cost_little_in_a_turn),
        cmocka_unit_test(test_searches_for_rare_rows_cost_little_in_a_turn),
        cmocka_unit_test(test_a_newcomer_does_not_wait_behind_long_replays),
        cmocka_unit_test(test_replays_of_one_address_do_not_slow_down_those_of_others),
        cmocka_unit_test(test_a_stream_at_the_tail_is_live_at_once),
        cmocka_unit_test(test_a_search_stops_and_says_so),
    };
    return RUN(tests);
}
