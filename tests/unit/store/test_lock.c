/* test_lock.c - a writer's lock that comes in the middle of a look at the schema. */
#include "config.h"

#include "store_bench.h"

#define TEST_NAME "lock"

/* Takes the lock before the next but `reads` read transaction; a rollback journal's writer may
 * do so anywhere. */
static struct {
    struct bench *bench; /* NULL: nobody does */
    int reads;
} locker;

enum store_result __real_store_begin_read(struct store *store, struct error *error);
enum store_result __wrap_store_begin_read(struct store *store, struct error *error);

enum store_result
__wrap_store_begin_read(struct store *store, struct error *error)
{
    if (locker.bench != NULL && locker.reads-- == 0) {
        bench_run(locker.bench, "BEGIN EXCLUSIVE");
        locker.bench = NULL;
    }
    return __real_store_begin_read(store, error);
}

static enum store_result
look(struct store *store, struct error *error)
{
    bool changed;
    enum store_result result = store_changed(store, &changed, error);
    if (result == STORE_OK)
        result = store_begin_read(store, error);
    if (result == STORE_OK)
        result = store_follow_schema(store, error);
    store_end_read(store);
    return result;
}

static void
test_it_does_not_forget_the_table(void **state)
{
    struct bench *bench = *state;
    struct store_config config = bench_config(bench, STORE_READ);

    bench_init(bench);
    bench_run(bench, "PRAGMA journal_mode = DELETE");
    struct store *store = store_open(&config, NULL, &bench->error);
    assert_non_null(store);
    bench_run(bench, "DROP INDEX notification_by_channel");
    assert_int_equal(look(store, &bench->error), STORE_OK);
    assert_non_null(store_fault(store));

    bench_run(bench, "DROP INDEX notification_by_expires_at");
    locker.bench = bench;
    locker.reads = 1; /* the one of the look at the table */
    assert_int_equal(look(store, &bench->error), STORE_BUSY);
    bench_run(bench, "COMMIT");
    assert_int_equal(look(store, &bench->error), STORE_OK);
    assert_non_null(store_fault(store));
    assert_true(store->has[COLUMN_CHANNEL]);
    store_close(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_does_not_forget_the_table, bench_setup,
                                        bench_teardown),
    };
    return RUN(tests);
}
