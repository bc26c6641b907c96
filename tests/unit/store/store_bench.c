/* store_bench.c - see store_bench.h. */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "store_bench.h"

#include "../folder.h"

int
bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    if (folder_make(bench->folder, "store") != 0)
        return -1;
    snprintf(bench->path, sizeof bench->path, "%s/test.db", bench->folder);
    *state = bench;
    return 0;
}

int
bench_teardown(void **state)
{
    struct bench *bench = *state;

    sqlite3_close(bench->other);
    folder_remove(bench->folder);
    free(bench);
    return 0;
}

/* Runs SQL as the application would. */
int
bench_try(struct bench *bench, const char *sql)
{
    if (bench->other == NULL) {
        assert_int_equal(sqlite3_open(bench->path, &bench->other), SQLITE_OK);
        sqlite3_busy_timeout(bench->other, 1000);
    }
    return sqlite3_exec(bench->other, sql, NULL, NULL, NULL);
}

void
bench_run(struct bench *bench, const char *sql)
{
    int code = bench_try(bench, sql);

    CHECK(code == SQLITE_OK, "%s: %s\n", sql, sqlite3_errmsg(bench->other));
}

int64_t
bench_ask(struct bench *bench, const char *sql)
{
    sqlite3_stmt *statement;

    bench_try(bench, "");
    CHECK(sqlite3_prepare_v2(bench->other, sql, -1, &statement, NULL) == SQLITE_OK,
          "%s: %s\n", sql, sqlite3_errmsg(bench->other));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

struct store_config
bench_config(const struct bench *bench, enum store_mode mode)
{
    return (struct store_config){.path = bench->path, .mode = mode};
}

void
bench_init(struct bench *bench)
{
    struct store_config config = bench_config(bench, STORE_WRITE);
    struct store_init_result result;

    CHECK(store_init(&config, STORE_JOURNAL_WAL, &result, &bench->error) == 0, "%s\n",
          bench->error.text);
}

struct store *
bench_open_table(struct bench *bench, enum store_mode mode, const char *table)
{
    struct store_config config = bench_config(bench, mode);

    config.table = table;
    struct store *store = store_open(&config, NULL, &bench->error);
    CHECK(store != NULL, "%s\n", bench->error.text);
    return store;
}

struct store *
bench_open(struct bench *bench, enum store_mode mode)
{
    return bench_open_table(bench, mode, NULL);
}

/* Inserts a row and returns its id. */
int64_t
bench_insert(struct store *store, struct row row)
{
    struct error error;
    int64_t id = 0;

    CHECK(store_insert(store, &row, &id, &error) == STORE_OK, "%s\n", error.text);
    return id;
}

int64_t
bench_insert_on(struct store *store, const char *channel, const char *user, const char *key)
{
    return bench_insert(store, (struct row){.channel = slice_of(channel),
                                            .recipient = slice_of(user),
                                            .collapse_key = slice_of(key),
                                            .data = slice_of("x")});
}

struct store_marks
bench_marks(struct store *store)
{
    struct store_marks marks;
    struct error error;

    CHECK(store_read_marks(store, &marks, &error) == STORE_OK, "%s\n", error.text);
    return marks;
}

/* --- collecting rows ----------------------------------------------------------------- */

enum store_step
bench_see(void *arg, const struct row *row)
{
    struct seen *seen = arg;

    if (seen->filter != NULL && !filter_matches(seen->filter, row->channel, row->recipient))
        return STORE_MORE;
    assert_true(seen->count < SEEN_MAX);
    seen->ids[seen->count++] = row->id;
    return seen->count == seen->stop_after ? STORE_STOP : STORE_MORE;
}

void
bench_read_into(struct store *store, struct seen *seen, struct store_range range)
{
    struct error error;

    range.row = bench_see;
    range.arg = seen;
    CHECK(store_read_range(store, &range, &seen->progress, &error) == STORE_OK, "%s\n",
          error.text);
}

struct seen
bench_read_all(struct store *store)
{
    struct seen seen = {0};

    bench_read_into(store, &seen,
                    (struct store_range){
                        .after = INT64_MIN, .up_to = ROW_ID_MAX, .max_rows = SEEN_MAX});
    return seen;
}

enum store_step
bench_copy(void *arg, const struct row *row)
{
    struct copy *copy = arg;

    copy->row = *row;
    copy->rows++;
    assert_true(row->data.len <= sizeof copy->data &&
                row->channel.len < sizeof copy->channel);
    if (row->data.p != NULL)
        memcpy(copy->data, row->data.p, row->data.len);
    if (row->channel.p != NULL)
        memcpy(copy->channel, row->channel.p, row->channel.len);
    return STORE_MORE;
}

struct copy
bench_read_copy(struct store *store)
{
    struct copy copy = {0};
    struct store_progress progress;
    struct error error;
    struct store_range range = {.after = INT64_MIN,
                                .up_to = ROW_ID_MAX,
                                .max_rows = 10,
                                .row = bench_copy,
                                .arg = &copy};

    CHECK(store_read_range(store, &range, &progress, &error) == STORE_OK, "%s\n",
          error.text);
    return copy;
}

void
bench_expect_refusal(struct bench *bench, enum store_mode mode, const char *table,
                     const char *text)
{
    struct store_config config = bench_config(bench, mode);
    bool busy = true;

    config.table = table;
    assert_null(store_open(&config, &busy, &bench->error));
    assert_false(busy);
    CHECK(strstr(bench->error.text, text) != NULL, "\"%s\" is not in \"%s\"\n", text,
          bench->error.text);
}

enum store_result
bench_find_time(struct bench *bench, struct store *store, int64_t created_at_ms,
                int64_t *cursor)
{
    struct store_time time = {.created_at_ms = created_at_ms, .now_ms = 1000};

    return store_find_time(store, &time, cursor, &bench->error);
}

bool
bench_has_changed(struct store *store)
{
    bool changed;
    struct error error;

    assert_int_equal(store_changed(store, &changed, &error), STORE_OK);
    return changed;
}
