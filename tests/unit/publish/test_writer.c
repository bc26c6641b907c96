/* test_writer.c - the thread that writes: turns, locks, failures, moved files. On a real
 * database, with kinds of work that only note their turns. */
#include "config.h"

#include "publish/writer.h"

#include <unistd.h>

#include "../stage.h"

#include "../unit.h"

#define TEST_NAME "writer"

/* A kind of work of the test's own. What both threads look at goes by atomics. */
struct work {
    int turns;
    int without; /* calls of go_without */
    int ends;    /* calls of end: 1 + store_result */
    int wants;   /* turns that it still wants */
    int result;  /* what a turn comes to */
    int *order;  /* NULL, or the last who had a turn, by `number` */
    int number;
    int repeats; /* turns in a row */
};

#define GET(value) __atomic_load_n(&(value), __ATOMIC_SEQ_CST)
#define SET(value, to) __atomic_store_n(&(value), to, __ATOMIC_SEQ_CST)
#define ADD(value, count) __atomic_add_fetch(&(value), count, __ATOMIC_SEQ_CST)

static uint64_t
work_due_ns(void *arg)
{
    struct work *work = arg;
    return GET(work->wants) > 0 ? 0 : WRITER_NEVER;
}

static enum store_result
work_turn(void *arg, struct store *store, struct error *error)
{
    struct work *work = arg;
    assert_non_null(store);
    if (work->order != NULL && *work->order == work->number)
        ADD(work->repeats, 1);
    if (work->order != NULL)
        *work->order = work->number;
    ADD(work->turns, 1);
    if (GET(work->result) != STORE_OK)
        error_set(error, "this is why");
    else
        ADD(work->wants, -1);
    return (enum store_result)GET(work->result);
}

static void
work_without(void *arg, enum store_result result, const struct error *error)
{
    struct work *work = arg;
    (void)result;
    assert_true(error->text[0] != '\0');
    ADD(work->without, 1);
}

static void
work_end(void *arg, struct store *store, enum store_result result,
         const struct error *error)
{
    struct work *work = arg;
    (void)error;
    assert_true((store != NULL) == (result == STORE_OK));
    SET(work->ends, 1 + (int)result);
}

static const struct writer_kind kind = {
    .failing = "cannot do the work",
    .working = "the work is done again",
    .is_vital = true,
    .retry_max_ms = 300,
    .due_ns = work_due_ns,
    .work = work_turn,
    .go_without = work_without,
    .end = work_end,
};

static const struct writer_kind minor_kind = {
    .failing = "cannot do the minor work",
    .working = "the minor work is done again",
    .retry_max_ms = 300,
    .due_ns = work_due_ns,
    .work = work_turn,
};

static struct writer *
writer_of(struct stage *stage)
{
    struct writer_config config = {.path = stage->path,
                                   .table = STORE_DEFAULT_TABLE,
                                   .gate = feed_gate(stage->feed),
                                   .log = &stage->log};
    struct writer *writer = writer_new(&config);
    assert_non_null(writer);
    return writer;
}

static struct writer *
start(struct stage *stage, const struct writer_kind *of, struct work *work)
{
    struct writer *writer = writer_of(stage);
    writer_add(writer, of, work);
    assert_int_equal(writer_start(writer, &stage->error), 0);
    return writer;
}

static void
want(struct writer *writer, struct work *work, int turns)
{
    SET(work->wants, turns);
    writer_wake(writer);
}

static void
test_kinds_take_turns(void **state)
{
    struct stage stage;
    int order = 0;
    struct work one = {.order = &order, .number = 1, .wants = 500};
    struct work two = {.order = &order, .number = 2, .wants = 500};
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct writer *writer = writer_of(&stage);
    writer_add(writer, &kind, &one);
    writer_add(writer, &minor_kind, &two);
    assert_int_equal(writer_start(writer, &stage.error), 0);
    WAIT(&stage, GET(one.turns) == 500 && GET(two.turns) == 500);
    assert_int_equal(GET(one.repeats) + GET(two.repeats), 0);
    writer_free(writer);
    assert_int_equal(GET(one.ends), 1 + STORE_OK);
    stage_close(&stage);
}

static void
test_a_failure_is_reported_and_tried_again_until_it_is_over(void **state)
{
    struct stage stage;
    struct work work = {.wants = 1, .result = STORE_FAILED};
    struct error error;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct writer *writer = start(&stage, &kind, &work);
    WAIT(&stage, GET(work.turns) >= 3);
    assert_int_equal(writer_health(writer, &error), WRITER_FAILS);
    assert_string_equal(error.text, "cannot do the work: this is why");
    assert_true(stage_has_logged(&stage, "cannot do the work: this is why"));
    SET(work.result, STORE_OK);
    WAIT(&stage, writer_health(writer, &error) == WRITER_WELL);
    assert_true(stage_has_logged(&stage, "the work is done again"));
    writer_free(writer);
    stage_close(&stage);
}

static void
test_what_is_not_vital_only_limps(void **state)
{
    struct stage stage;
    struct work work = {.wants = 1, .result = STORE_FAILED};
    struct error error;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct writer *writer = start(&stage, &minor_kind, &work);
    WAIT(&stage, writer_health(writer, &error) == WRITER_LIMPS);
    writer_free(writer);
    assert_int_equal(writer_health(NULL, &error), WRITER_WELL);
    stage_close(&stage);
}

static void
test_a_lock_is_asked_for_again_and_is_no_failure(void **state)
{
    struct stage stage;
    struct work work = {.wants = 1, .result = STORE_BUSY};
    struct error error;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct writer *writer = start(&stage, &kind, &work);
    WAIT(&stage, GET(work.turns) > 20);
    assert_int_equal(writer_health(writer, &error), WRITER_WELL);
    SET(work.result, STORE_OK);
    WAIT(&stage, GET(work.wants) == 0);
    writer_free(writer);
    stage_close(&stage);
}

static void
test_nothing_is_written_while_that_is_forbidden(void **state)
{
    struct stage stage;
    struct work work = {0};
    struct error why = {"two names"};
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    store_gate_forbid(feed_gate(stage.feed), &why);
    struct writer *writer = start(&stage, &kind, &work);
    want(writer, &work, 1);
    WAIT(&stage, GET(work.without) > 0);
    assert_int_equal(GET(work.turns), 0);
    store_gate_forbid(feed_gate(stage.feed), NULL);
    WAIT(&stage, GET(work.turns) == 1);
    writer_free(writer);
    stage_close(&stage);
}

/* The writer may be the first to see it: it leaves, the reader opens anew, and it goes on there. */
static void
test_files_that_have_moved_are_left(void **state)
{
    struct stage stage;
    struct work work = {.wants = 1};
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    struct writer *writer = start(&stage, &kind, &work);
    WAIT(&stage, GET(work.turns) == 1);
    stage_replace_database(&stage);
    want(writer, &work, 1);
    WAIT(&stage, GET(work.turns) == 2);
    assert_true(stage_has_logged(&stage, "database reopened"));
    assert_false(store_gate_is_shut(feed_gate(stage.feed)));
    writer_free(writer);
    stage_close(&stage);
}

static void
test_a_table_that_may_not_be_written_fails_the_start_where_it_is_vital(void **state)
{
    struct stage stage;
    struct work work = {0};
    struct error error;
    (void)state;
    stage_open(&stage, &(struct stage_config){0});
    stage_sql(&stage, "CREATE TABLE foreign_table(id INTEGER PRIMARY KEY, data)");
    struct writer_config config = {.path = stage.path,
                                   .table = "foreign_table",
                                   .gate = feed_gate(stage.feed),
                                   .log = &stage.log};
    struct writer *writer = writer_new(&config);
    writer_add(writer, &kind, &work);
    assert_int_equal(writer_start(writer, &stage.error), -1);
    assert_non_null(strstr(stage.error.text, "was not made by rowcast"));
    writer_free(writer);

    writer = writer_new(&config);
    writer_add(writer, &minor_kind, &work);
    assert_int_equal(writer_start(writer, &stage.error), 0);
    assert_int_equal(writer_health(writer, &error), WRITER_LIMPS);
    writer_free(writer);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_take_turns),
        cmocka_unit_test(test_a_failure_is_reported_and_tried_again_until_it_is_over),
        cmocka_unit_test(test_what_is_not_vital_only_limps),
        cmocka_unit_test(test_a_lock_is_asked_for_again_and_is_no_failure),
        cmocka_unit_test(test_nothing_is_written_while_that_is_forbidden),
        cmocka_unit_test(test_files_that_have_moved_are_left),
        cmocka_unit_test(
            test_a_table_that_may_not_be_written_fails_the_start_where_it_is_vital),
    };
    return RUN(tests);
}
