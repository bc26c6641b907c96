/* write.c - inserting, pruning.
 *
 * Pruning must never hold up an application's writer: what there is to delete is found before
 * the write lock is taken, and one call deletes one small batch in one short transaction. With
 * nothing to delete no lock is taken at all. */
#include "config.h"

#include "store/internal.h"

#include <time.h>

/* How many batches ahead the rows beyond keep_rows are looked for: counting all rows costs some
 * milliseconds for each million, so it is not done for every batch. */
#define PRUNE_BATCHES_AHEAD 16

/* --- insert -------------------------------------------------------------------------- */

/* Where a table was dropped and made again by other means its ids begin at 1: readers, who go
 * by "all ids after N", would never see the row. */
static enum store_result
check_next_id(struct store *store, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_read_marks(store, &marks, error);

    if (result != STORE_OK || store_ids_are_new(&marks))
        return result;
    error_set(
        error,
        "%s: table %s would give the row an id that readers have passed, so no reader "
        "would get it: repair the table with `rowcast init`",
        store->path, store->table);
    return STORE_FAILED;
}

enum store_result
store_insert(struct store *store, const struct row *row, int64_t *id, struct error *error)
{
    store->refusal[0] = '\0';
    enum store_result result = check_next_id(store, error);
    if (result == STORE_OK && sqlite3_get_autocommit(store->db) != 0)
        result = store_check_files(store, error);
    if (result != STORE_OK)
        return result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_INSERT, &result, error);
    if (result != STORE_OK)
        return result;
    /* The same word as the column's default, so that one statement does for both. */
    store_bind_text(statement, 1,
                    row->channel.p != NULL ? row->channel : slice_of("default"));
    store_bind_text(statement, 2, row->recipient);
    store_bind_text(statement, 3, row->event);
    store_bind_text(statement, 4, row->data);
    store_bind_text(statement, 5, row->collapse_key);
    if (row->expires_at != 0)
        sqlite3_bind_int64(statement, 6, row->expires_at);
    else
        sqlite3_bind_null(statement, 6);

    result = store_run(store, statement, "insert the row", error);
    if (result == STORE_OK)
        *id = sqlite3_last_insert_rowid(store->db);
    sqlite3_clear_bindings(statement);
    return result;
}

const char *
store_refusal(const struct store *store)
{
    return store->refusal[0] != '\0' ? store->refusal : NULL;
}

/* --- prune --------------------------------------------------------------------------- */

/* A statement that takes one number and gives one; *number stays when it gives no row. */
static enum store_result
ask(struct store *store, enum store_statement which, int64_t parameter, int64_t *number,
    struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, which, &result, error);

    if (result != STORE_OK)
        return result;
    if (sqlite3_bind_parameter_count(statement) > 0)
        sqlite3_bind_int64(statement, 1, parameter);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "look for old rows", error);
    sqlite3_reset(statement);
    return result;
}

/* Whether the row at hand is too old, or has expired. */
static bool
is_outdated(sqlite3_stmt *statement, const struct store_prune *prune)
{
    int64_t expires_at = sqlite3_column_int64(statement, 2);

    return (prune->older_than_ms > 0 &&
            sqlite3_column_int64(statement, 1) < prune->older_than_ms) ||
           (expires_at > 0 && expires_at < prune->expired_first_ms);
}

/* So many rows of the future before the first that is not are looked at. */
#define FUTURE_ROWS_MAX 100000

/* *cut: the last of the oldest rows, up to max_rows, before which all are too old. A row that
 * is dated in the future (by a clock that was wrong, or in microseconds) is as old as the row
 * after it, or it would keep all the others for ever. */
static enum store_result
find_age_cut(struct store *store, const struct store_prune *prune, int64_t *cut,
             struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, STATEMENT_OLDEST, &result, error);
    int outdated = 0;
    int future = 0;
    int code = SQLITE_DONE;

    if (result != STORE_OK)
        return result;
    while (outdated < prune->max_rows && future < FUTURE_ROWS_MAX &&
           (code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (is_outdated(statement, prune)) {
            *cut = sqlite3_column_int64(statement, 0);
            outdated++;
        } else if (prune->older_than_ms > 0 &&
                   sqlite3_column_int64(statement, 1) > prune->now_ms) {
            future++;
        } else {
            break;
        }
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fail(store, code, "look for old rows", error);
    sqlite3_reset(statement);
    return result;
}

/* True when, by the ids that were given out since the rows were last counted, there cannot be
 * too many by more than the slack. */
static bool
are_few_new(const struct store *store, const struct store_prune *prune,
            const struct store_marks *marks)
{
    return store->prune_tail > 0 && store->prune_keep == prune->keep_rows &&
           marks->tail >= store->prune_tail &&
           marks->tail - store->prune_tail <= store->prune_room + prune->slack_rows;
}

/* *cut: an id up to which the rows are more than the newest keep_rows; some batches' worth. */
static enum store_result
find_count_cut(struct store *store, const struct store_prune *prune, int64_t *cut,
               struct error *error)
{
    struct store_marks marks;
    int64_t count = 0;

    enum store_result result = store_read_marks(store, &marks, error);
    if (result != STORE_OK)
        return result;
    if (store->prune_keep == prune->keep_rows && marks.lowest <= store->prune_cut) {
        *cut = store->prune_cut; /* rows are only added above it, so it still holds */
        return STORE_OK;
    }
    if (marks.tail - marks.lowest < prune->keep_rows || are_few_new(store, prune, &marks))
        return STORE_OK; /* without counting: there are no more rows than ids */

    result = ask(store, STATEMENT_COUNT, 0, &count, error);
    if (result != STORE_OK)
        return result;
    int64_t excess = count - prune->keep_rows;
    int64_t ahead = (int64_t)prune->max_rows * PRUNE_BATCHES_AHEAD;
    store->prune_keep = prune->keep_rows;
    store->prune_cut = 0;
    store->prune_tail = excess <= ahead ? marks.tail : 0;
    store->prune_room = excess < 0 ? -excess : 0;
    if (excess > 0)
        result =
            ask(store, STATEMENT_NTH, (excess < ahead ? excess : ahead) - 1, cut, error);
    store->prune_cut = *cut;
    return result;
}

struct deletion {
    enum store_statement which;
    int64_t limit; /* an id or a time, as the statement has it */
    int max_rows;
};

/* *deleted grows by the number of rows. */
static enum store_result
delete_rows(struct store *store, const struct deletion *deletion, int *deleted,
            struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, deletion->which, &result, error);

    if (result != STORE_OK)
        return result;
    sqlite3_bind_int64(statement, 1, deletion->limit);
    sqlite3_bind_int(statement, 2, deletion->max_rows);
    result = store_run(store, statement, "delete old rows", error);
    if (result == STORE_OK)
        *deleted += sqlite3_changes(store->db);
    return result;
}

/* What one batch is to delete. */
struct batch {
    int64_t cut;         /* rows up to this id */
    int64_t has_expired; /* not 0: and expired ones */
};

static enum store_result
plan_batch(struct store *store, const struct store_prune *prune, struct batch *batch,
           struct error *error)
{
    enum store_result result = STORE_OK;
    int64_t count_cut = 0;

    *batch = (struct batch){0};
    if (prune->older_than_ms > 0 || prune->expired_first_ms > 0)
        result = find_age_cut(store, prune, &batch->cut, error);
    if (result == STORE_OK && prune->keep_rows > 0)
        result = find_count_cut(store, prune, &count_cut, error);
    if (count_cut > batch->cut)
        batch->cut = count_cut;
    if (prune->up_to > 0 && batch->cut > prune->up_to)
        batch->cut = prune->up_to;
    if (result == STORE_OK && prune->expired_before_ms > 0)
        result = ask(store, STATEMENT_ANY_EXPIRED, prune->expired_before_ms,
                     &batch->has_expired, error);
    return result;
}

/* In a table that has lost what rowcast made no trigger notes what is deleted, and its ids may lie
 * below those that readers have passed: rows would be deleted that no reader has got. */
static enum store_result
check_table(struct store *store, struct error *error)
{
    store->must_look = store_fault(store) != NULL;
    enum store_result result = store_begin_read(store, error);
    if (result == STORE_OK)
        result = store_follow_schema(store, error);
    store_end_read(store);
    if (result != STORE_OK || store_fault(store) == NULL)
        return result;
    error_set(error, "nothing is deleted: %s", store_fault(store));
    return STORE_FAILED;
}

/* BEGIN, of the table that was looked at. */
static enum store_result
begin_prune(struct store *store, struct error *error)
{
    bool is_known = false;
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = store_schema_is_known(store, &is_known, error);
    if (result != STORE_OK || is_known)
        return result;
    error_set(error, "%s: its schema has just been changed: repeat", store->path);
    return STORE_BUSY;
}

static int64_t
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static enum store_result
delete_batch(struct store *store, const struct store_prune *prune,
             const struct batch *batch, int *count, struct error *error)
{
    const struct deletion old = {STATEMENT_DELETE_UP_TO, batch->cut, prune->max_rows};
    enum store_result result = STORE_OK;

    if (batch->cut > 0)
        result = delete_rows(store, &old, count, error);
    const struct deletion expired = {STATEMENT_DELETE_EXPIRED, prune->expired_before_ms,
                                     prune->max_rows - *count};
    if (result == STORE_OK && batch->has_expired != 0 && expired.max_rows > 0)
        result = delete_rows(store, &expired, count, error);
    return result;
}

enum store_result
store_prune(struct store *store, const struct store_prune *prune, int *deleted,
            struct error *error)
{
    struct batch batch;
    int count = 0;

    *deleted = 0;
    enum store_result result = check_table(store, error);
    if (result == STORE_OK)
        result = plan_batch(store, prune, &batch, error);
    if (result != STORE_OK || (batch.cut == 0 && batch.has_expired == 0))
        return result;

    result = begin_prune(store, error);
    int64_t began = now_us();
    if (result == STORE_OK)
        result = delete_batch(store, prune, &batch, &count, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result == STORE_OK)
        *deleted = count;
    else
        store_rollback(store);
    store->prune_locked_us = now_us() - began;
    return result;
}

int64_t
store_prune_locked_us(const struct store *store)
{
    return store->prune_locked_us;
}
