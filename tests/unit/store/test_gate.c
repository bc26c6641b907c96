/* test_gate.c - the order of the connections of one process: all are closed before one is
 * opened. */
#include "config.h"

#include "store/gate.h"

#include "../unit.h"

#define TEST_NAME "gate"

static const struct store_files files = {
    .database = {1, 10}, .wal = {1, 11}, .shm = {1, 12}};

static void
count_call(void *arg)
{
    ++*(int *)arg;
}

static void
test_the_writer_enters_when_the_reader_has_opened(void **state)
{
    struct store_gate *gate = store_gate_new();
    (void)state;
    assert_true(store_gate_is_shut(gate));
    assert_true(store_gate_is_clear(gate));
    assert_false(store_gate_enter(gate));
    assert_true(store_gate_is_clear(gate)); /* to have asked is not to be in */
    store_gate_open(gate, &files);
    assert_false(store_gate_is_shut(gate));
    assert_true(store_gate_enter(gate));
    store_gate_free(gate);
}

static void
test_the_reader_opens_when_the_writer_has_left(void **state)
{
    struct store_gate *gate = store_gate_new();
    (void)state;
    store_gate_open(gate, &files);
    assert_true(store_gate_enter(gate));
    assert_false(store_gate_is_clear(gate));
    store_gate_shut(gate);
    assert_false(store_gate_is_clear(gate));
    assert_false(store_gate_fits(gate, &(struct store_files){.database = {1, 10}}));
    store_gate_leave(gate);
    assert_true(store_gate_is_clear(gate));
    assert_false(store_gate_enter(gate));
    store_gate_free(gate);
}

static void
test_both_have_the_same_three_files(void **state)
{
    struct store_gate *gate = store_gate_new();
    struct store_files other[] = {files, files, files, files};
    (void)state;
    store_gate_open(gate, &files);
    assert_true(store_gate_fits(gate, &files));
    other[0].database.inode++;
    other[1].wal.inode++;
    other[2].shm.inode++;
    other[3].shm.device++;
    for (size_t i = 0; i < COUNT(other); i++)
        assert_false(store_gate_fits(gate, &other[i]));
    store_gate_free(gate);
}

static void
test_each_is_woken_when_it_is_its_turn(void **state)
{
    struct store_gate *gate = store_gate_new();
    int reader = 0;
    int writer = 0;
    (void)state;
    store_gate_on_change(gate, count_call, &reader);
    store_gate_on_turn(gate, count_call, &writer);
    store_gate_open(gate, &files);
    assert_int_equal(reader, 0);
    assert_int_equal(writer, 1);
    store_gate_enter(gate);
    store_gate_leave(gate); /* it is open: the reader need not know */
    assert_int_equal(reader, 0);
    store_gate_enter(gate);
    store_gate_shut(gate);
    assert_int_equal(reader, 1);
    assert_int_equal(writer, 2);
    store_gate_leave(gate);
    assert_int_equal(reader, 2);
    store_gate_free(gate);
}

static void
test_what_speaks_against_writing_is_kept(void **state)
{
    struct store_gate *gate = store_gate_new();
    struct error why = {"two names"};
    struct error told = {""};
    (void)state;
    assert_true(store_gate_may_write(gate, &told));
    store_gate_forbid(gate, &why);
    why.text[0] = 'T'; /* it was copied */
    store_gate_open(gate, &files);
    assert_false(store_gate_may_write(gate, &told));
    assert_string_equal(told.text, "two names");
    store_gate_forbid(gate, NULL);
    assert_true(store_gate_may_write(gate, &told));
    store_gate_free(gate);
    store_gate_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_writer_enters_when_the_reader_has_opened),
        cmocka_unit_test(test_the_reader_opens_when_the_writer_has_left),
        cmocka_unit_test(test_both_have_the_same_three_files),
        cmocka_unit_test(test_each_is_woken_when_it_is_its_turn),
        cmocka_unit_test(test_what_speaks_against_writing_is_kept),
    };
    return RUN(tests);
}
