/* test_turns.c - no replay, search or crowd of them holds the loop: how much is done between
 * two looks at the clock, and who gets the next turn. Work is counted, not timed
 * (tests/unit/slow_clock.h). */
#include "config.h"

#include "../slow_clock.h"
#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "turns"

#define ROWS 60000
#define READERS 20
#define SLOW_ROWS 6000
/* Between two looks at the clock: rows, streams that are ended or freed. */
#define ROWS_AT_ONCE 64
#define ENDS_AT_ONCE 16
#define HEARTBEAT_BYTES 2 /* ":" and a line end: one of them in a turn */

/* None of them matches any row. */
#define NO_ROWS "channel=zz*z*z&channel=[x-z]*q*q&since=all"

/* By hub/closing.c (-Wl,--wrap=stream_free). */
static size_t freed;

struct stream;
void __real_stream_free(struct stream *stream);
void __wrap_stream_free(struct stream *stream);

void
__wrap_stream_free(struct stream *stream)
{
    freed++;
    __real_stream_free(stream);
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

/* With a clock that is over at each look, a turn may do no more than what lies between two.
 * Returns how many turns it took until no stream was behind. */
static size_t
count_slow_turns(struct stage *stage)
{
    size_t turns = 0;
    slow_clock_start();
    for (; behind(stage) > 0; turns++)
        stage_step(stage);
    slow_clock_stop();
    return turns;
}

static void
check_slow_turns(const char *query, size_t window_bytes)
{
    struct stage stage;
    stage_open(&stage, &(struct stage_config){.hub = {.window_bytes = window_bytes}});
    insert_rows(&stage, "orders", SLOW_ROWS);
    WAIT(&stage, feed_tail(stage.feed) == stage.base + SLOW_ROWS);
    stage_visit(&stage, &(struct visit){.query = query});
    assert_int_equal(behind(&stage), 1);
    size_t turns = count_slow_turns(&stage);
    CHECK(turns >= SLOW_ROWS / ROWS_AT_ONCE, "%s: %zu turns\n", query, turns);
    stage_close(&stage);
}

static void
test_a_replay_of_the_table_looks_at_the_clock_within_its_step(void **state)
{
    (void)state;
    check_slow_turns(NO_ROWS, 1);
    check_slow_turns("since=all", 1);
}

static void
test_a_replay_of_the_window_looks_at_the_clock_within_its_step(void **state)
{
    (void)state;
    check_slow_turns(NO_ROWS, 64 << 20);
}

static void
test_a_search_looks_at_the_clock_within_its_step(void **state)
{
    (void)state;
    check_slow_turns("channel=zz*&last=1000", 1);
    check_slow_turns("channel=orders1*&last=1000", 1);
}

/* --- many that end at once ----------------------------------------------------------- */

/* Live streams, each of them its audience's only one. */
static void
open_many(struct stage *stage, struct reader *readers[STAGE_READERS_MAX])
{
    stage_open(stage, &(struct stage_config){0});
    for (int i = 0; i < STAGE_READERS_MAX; i++) {
        char query[32];
        snprintf(query, sizeof query, "channel=c%d", i);
        readers[i] = stage_visit(stage, &(struct visit){.query = query});
    }
    stage_turn(stage);
    assert_int_equal(hub_streams(stage->hub), STAGE_READERS_MAX);
    freed = 0;
}

static void
test_draining_ends_a_few_streams_in_a_turn(void **state)
{
    struct stage stage;
    struct reader *readers[STAGE_READERS_MAX];
    size_t turns = 0;

    (void)state;
    open_many(&stage, readers);
    slow_clock_start();
    hub_drain(stage.hub);
    for (size_t left = STAGE_READERS_MAX; left > 0; turns++) {
        stage_step(&stage);
        size_t ended = left - hub_streams(stage.hub);
        CHECK(ended <= ENDS_AT_ONCE, "%zu ended in one turn\n", ended);
        left -= ended;
        CHECK(turns < 10 * STAGE_READERS_MAX, "%zu are left\n", left);
    }
    slow_clock_stop();
    for (int i = 0; i < STAGE_READERS_MAX; i++)
        WAIT(&stage, reader_has_ended(readers[i]));
    assert_int_equal(stage.counters.closed[CLOSE_DRAINED], STAGE_READERS_MAX);
    stage_close(&stage);
}

static void
test_streams_that_end_at_once_are_freed_a_few_in_a_turn(void **state)
{
    struct stage stage;
    struct reader *readers[STAGE_READERS_MAX];
    size_t before = 0;

    (void)state;
    open_many(&stage, readers);
    for (int i = 0; i < STAGE_READERS_MAX; i++)
        reader_hang_up(readers[i]);
    slow_clock_start();
    for (int turns = 0; freed < STAGE_READERS_MAX; turns++) {
        before = freed;
        stage_step(&stage);
        CHECK(freed - before <= ENDS_AT_ONCE, "%zu freed in one turn\n", freed - before);
        CHECK(turns < 10 * STAGE_READERS_MAX, "%zu are freed\n", freed);
    }
    slow_clock_stop();
    stage_close(&stage);
}

static void
test_heartbeats_are_sent_and_stalls_are_cut_a_few_in_a_turn(void **state)
{
    struct stage stage;
    const struct hub_counters *counters = &stage.counters;

    (void)state;
    stage_open(&stage,
               &(struct stage_config){.hub = {.heartbeat_ms = 300, .stall_ms = 600}});
    for (int i = 0; i < STAGE_READERS_MAX; i++)
        stage_visit(&stage, &(struct visit){.idle = i % 2 != 0});
    for (size_t i = 1; i < STAGE_READERS_MAX; i += 2)
        reader_stuff(stage.readers[i]); /* the next heartbeat finds no room */
    uint64_t began = uv_now(&stage.loop);
    slow_clock_start();
    for (uint64_t bytes = counters->bytes, cut = 0; cut < STAGE_READERS_MAX / 2;
         bytes = counters->bytes) {
        stage_step(&stage);
        CHECK(counters->bytes - bytes <= HEARTBEAT_BYTES, "%d bytes of heartbeats\n",
              (int)(counters->bytes - bytes));
        CHECK(counters->closed[CLOSE_STALLED] - cut <= 1, "%d are cut\n",
              (int)(counters->closed[CLOSE_STALLED] - cut));
        cut = counters->closed[CLOSE_STALLED];
        CHECK(uv_now(&stage.loop) - began < STAGE_PATIENCE_S * 1000, "%d are cut\n",
              (int)cut);
    }
    slow_clock_stop();
    stage_close(&stage);
}

/* Readers with patterns of their own, and one without: rows on new channels, which have to be
 * tried. */
static void
test_patterns_of_many_do_not_hold_up_those_who_have_none(void **state)
{
    struct stage stage;
    struct reader *others[READERS];

    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    for (int i = 0; i < READERS; i++) {
        char query[48];
        snprintf(query, sizeof query, "channel=orders*[0-9]&channel=x%d*", i);
        others[i] = stage_visit(&stage, &(struct visit){.query = query});
    }
    struct reader *all = stage_visit(&stage, &(struct visit){0});
    struct reader *one = stage_visit(&stage, &(struct visit){.query = "channel=orders7"});
    stage_turn(&stage);
    assert_int_equal(behind(&stage), 0);
    slow_clock_start();
    insert_rows(&stage, "orders", 40); /* and on each of them READERS are to be tried */
    while (feed_tail(stage.feed) != stage.base + 40)
        stage_step(&stage);
    assert_int_equal(behind(&stage), READERS);
    reader_read(all);
    reader_read(one);
    assert_int_equal(reader_rows(all), 40);
    assert_int_equal(reader_rows(one), 1);
    slow_clock_stop();
    for (int i = 0; i < READERS; i++)
        WAIT(&stage, reader_rows(others[i]) == 40);
    stage_close(&stage);
}

/* --- who is next --------------------------------------------------------------------- */

static void
test_a_newcomer_does_not_wait_behind_long_replays(void **state)
{
    struct stage stage;
    struct reader *others[READERS];
    int turns = 0;

    (void)state;
    open_stage(&stage);
    stage_insert(&stage, "mine", "new");
    slow_clock_start();
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
    slow_clock_stop();
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
        cmocka_unit_test(test_a_replay_of_the_table_looks_at_the_clock_within_its_step),
        cmocka_unit_test(test_a_replay_of_the_window_looks_at_the_clock_within_its_step),
        cmocka_unit_test(test_a_search_looks_at_the_clock_within_its_step),
        cmocka_unit_test(test_draining_ends_a_few_streams_in_a_turn),
        cmocka_unit_test(test_streams_that_end_at_once_are_freed_a_few_in_a_turn),
        cmocka_unit_test(test_patterns_of_many_do_not_hold_up_those_who_have_none),
        cmocka_unit_test(test_heartbeats_are_sent_and_stalls_are_cut_a_few_in_a_turn),
        cmocka_unit_test(test_a_newcomer_does_not_wait_behind_long_replays),
        cmocka_unit_test(test_replays_of_one_address_do_not_slow_down_those_of_others),
        cmocka_unit_test(test_a_stream_at_the_tail_is_live_at_once),
        cmocka_unit_test(test_a_search_stops_and_says_so),
    };
    return RUN(tests);
}
