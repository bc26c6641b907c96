/* carry.c - rows that are gone from the log go from the file too. Called by follow/batch.c
 * for ranges in which something was deleted, and by follow/follow.c to prune.
 *
 * The ids that the log still has in the range are read, and the file deletes all others. So it does
 * not matter how often that is done, nor whether the follower was killed in the middle. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "follow/internal.h"

#define PRUNE_ROWS 1000
#define PRUNE_ROUNDS 20

struct kept {
    int64_t ids[QUERY_IDS];
    size_t count;
};

static enum pg_step
take_id(void *arg, int result, const struct pg_row *row)
{
    struct kept *kept = arg;

    (void)result;
    if (kept->count < QUERY_IDS)
        kept->ids[kept->count++] = pg_number(row, 0);
    return PG_MORE;
}

static enum store_result
delete_rest(struct follow *follow, const struct store_ids *ids, struct error *error)
{
    const struct store_follower_marks marks = {0};
    int64_t deleted = 0;
    enum store_result result = store_follower_begin(follow->store, error);

    follow->state.alive_at_ms = clock_unix_ms();
    if (result == STORE_OK)
        result = store_follower_delete(follow->store, ids, &deleted, error);
    if (result == STORE_OK)
        result = store_follower_commit(follow->store, &follow->state, &marks, error);
    if (result != STORE_OK)
        store_rollback(follow->store);
    else
        follow->counts.deleted += (uint64_t)deleted;
    return result;
}

/* One page of ids from *first on; *first becomes the id after it. */
static enum follow_result
carry_page(struct follow *follow, int64_t *first, int64_t last, struct error *error)
{
    static const size_t full = QUERY_IDS;
    struct kept kept;
    struct buf sql = {0};

    kept.count = 0;
    query_ids(&sql, follow->settings->table, *first, last);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take_id, &kept, error);
    buf_fini(&sql);
    if (asked != PG_OK)
        return follow_pg_result(follow, asked);
    int64_t end = kept.count == full ? kept.ids[full - 1] : last;
    const struct store_ids ids = {*first, end, kept.ids, kept.count};
    *first = end + 1;
    return follow_store_result(follow, delete_rest(follow, &ids, error));
}

enum follow_result
follow_carry(struct follow *follow, const struct follow_range *range, struct error *error)
{
    enum follow_result result = FOLLOW_OK;
    int64_t first = range->lowest;
    int64_t last =
        range->highest < follow->state.cursor ? range->highest : follow->state.cursor;

    while (result == FOLLOW_OK && first <= last)
        result = carry_page(follow, &first, last, error);
    return result;
}

/* --- old rows -------------------------------------------------------------------------- */

static enum pg_step
take_count(void *arg, int result, const struct pg_row *row)
{
    (void)result;
    *(int64_t *)arg = pg_number(row, 0);
    return PG_MORE;
}

static void
append_prune(struct buf *sql, const struct follow_settings *settings)
{
    struct buf text = {0};

    buf_append_text(&text, "SELECT \"notification_prune\"(");
    if (settings->keep_age_ms > 0)
        buf_printf(&text, "%" PRId64 " * interval '1 millisecond', ",
                   settings->keep_age_ms);
    else
        buf_append_text(&text, "NULL, ");
    if (settings->keep_rows > 0)
        buf_printf(&text, "%" PRId64, settings->keep_rows);
    else
        buf_append_text(&text, "NULL");
    buf_printf(&text, ", %d)", PRUNE_ROWS);
    buf_append(&text, "", 1);
    if (!text.failed)
        query_append(sql, text.p, settings->table);
    buf_append(sql, "", 1);
    sql->failed = sql->failed || text.failed;
    buf_fini(&text);
}

/* A follower without the right keeps to its file. */
static enum follow_result
prune_log(struct follow *follow, int64_t *deleted, struct error *error)
{
    struct buf sql = {0};

    *deleted = 0;
    if (follow->log.is_standby || follow->may_not_prune)
        return FOLLOW_OK;
    append_prune(&sql, follow->settings);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take_count, deleted, error);
    buf_fini(&sql);
    if (asked != PG_REFUSED)
        return follow_pg_result(follow, asked);
    log_line(follow->settings->log, LOG_WARN, "old rows are deleted in the file alone: %s",
             error->text);
    follow->may_not_prune = true;
    return FOLLOW_OK;
}

static enum follow_result
prune_file(struct follow *follow, int *deleted, struct error *error)
{
    const struct follow_settings *settings = follow->settings;
    int64_t now_ms = clock_unix_ms();
    const struct store_prune prune = {
        .older_than_ms = settings->keep_age_ms > 0 ? now_ms - settings->keep_age_ms : 0,
        .now_ms = now_ms,
        .keep_rows = settings->keep_rows,
        .max_rows = PRUNE_ROWS};

    return follow_store_result(follow, store_prune(follow->store, &prune, deleted, error));
}

enum follow_result
follow_prune(struct follow *follow, struct error *error)
{
    enum follow_result result = FOLLOW_OK;
    int64_t in_log = PRUNE_ROWS;
    int in_file = PRUNE_ROWS;

    for (int i = 0; i < PRUNE_ROUNDS && result == FOLLOW_OK && in_log == PRUNE_ROWS; i++)
        result = prune_log(follow, &in_log, error);
    for (int i = 0; i < PRUNE_ROUNDS && result == FOLLOW_OK && in_file == PRUNE_ROWS; i++)
        result = prune_file(follow, &in_file, error);
    return result;
}
