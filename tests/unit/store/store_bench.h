/* store_bench.h - what the tests of the store share: a folder for each test, and an application
 * that writes to the database beside the store.
 *
 * What another program does to the database is done with SQLite directly, on a connection of its
 * own. */
#ifndef ROWCAST_TESTS_UNIT_STORE_BENCH_H
#define ROWCAST_TESTS_UNIT_STORE_BENCH_H

#include "store/internal.h"
#include "store/store.h"

#include "../unit.h"

#define SQL_MAX 1024

struct bench {
    char folder[64];
    char path[96];
    sqlite3 *other; /* the application's connection */
    struct error error;
};

int bench_setup(void **state);
int bench_teardown(void **state);

#define BENCH_TEST(function)                                                               \
    cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)

/* SQL as the application would run it: SQLite's code; fails the test; the first number. */
int bench_try(struct bench *bench, const char *sql);
void bench_run(struct bench *bench, const char *sql);
int64_t bench_ask(struct bench *bench, const char *sql);

struct store_config bench_config(const struct bench *bench, enum store_mode mode);
void bench_init(struct bench *bench);
struct store *bench_open_table(struct bench *bench, enum store_mode mode,
                               const char *table);
struct store *bench_open(struct bench *bench, enum store_mode mode);

/* Inserts a row and returns its id. */
int64_t bench_insert(struct store *store, struct row row);
int64_t bench_insert_on(struct store *store, const char *channel, const char *user,
                        const char *key);

struct store_marks bench_marks(struct store *store);

#define SEEN_MAX 256

/* The ids of rows, as a store_row_fn collects them. */
struct seen {
    int64_t ids[SEEN_MAX];
    size_t count;
    size_t stop_after; /* 0: never */
    const struct filter *filter;
    struct store_progress progress;
};

enum store_step bench_see(void *seen, const struct row *row);
void bench_read_into(struct store *store, struct seen *seen, struct store_range range);
struct seen bench_read_all(struct store *store);

/* A copy of the only row's texts. */
struct copy {
    struct row row;
    char channel[64];
    char data[64];
    size_t rows;
};

enum store_step bench_copy(void *copy, const struct row *row);
struct copy bench_read_copy(struct store *store);

/* Opening fails, for good, with these words. */
void bench_expect_refusal(struct bench *bench, enum store_mode mode, const char *table,
                          const char *text);

/* store_changed's answer. */
bool bench_has_changed(struct store *store);

/* store_find_time when it is 1,000. */
enum store_result bench_find_time(struct bench *bench, struct store *store,
                                  int64_t created_at_ms, int64_t *cursor);

#endif
