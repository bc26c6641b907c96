/* lost.c - has the server lost what the file has? Called by follow/begin.c, once a connection.
 *
 * A server that was promoted, or a backup that was put back, may lack the last commits. Ids are in
 * the order of commits, so the lost rows are the highest, and the file's highest id shows it.
 * Then the log's base is moved past every id: all readers get a reset, on every node. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "follow/internal.h"

struct covering {
    int64_t id;
    int64_t next; /* number of the deletion that must come */
    bool covers;
    bool has_hole;
};

static enum pg_step
take_covering(void *arg, int result, const struct pg_row *row)
{
    struct covering *covering = arg;

    (void)result;
    if (pg_number(row, 0) != covering->next)
        covering->has_hole = true;
    covering->next = pg_number(row, 0) + 1;
    if (pg_number(row, 1) <= covering->id && covering->id <= pg_number(row, 2))
        covering->covers = true;
    return PG_MORE;
}

/* Whether the row may be gone because it was deleted since the last look. */
static enum follow_result
is_deleted(struct follow *follow, int64_t id, bool *deleted, struct error *error)
{
    struct covering covering = {.id = id, .next = follow->state.deletions + 1};
    struct buf text = {0};
    struct buf sql = {0};

    buf_printf(&text,
               "SELECT number, lowest, highest FROM \"notification_deletion\" "
               "WHERE number > %" PRId64 " ORDER BY number",
               follow->state.deletions);
    buf_append(&text, "", 1);
    query_append(&sql, text.failed ? "" : text.p, follow->settings->table);
    buf_append(&sql, "", 1);
    enum pg_outcome asked =
        sql.failed || text.failed
            ? PG_LOST
            : pg_run(follow->pg, sql.p, take_covering, &covering, error);
    buf_fini(&text);
    buf_fini(&sql);
    *deleted = covering.has_hole ? follow->log.low_water >= id : covering.covers;
    return follow_pg_result(follow, asked);
}

/* Whether the log has lost the last deletion that the file has carried, or given its number to
 * another. */
static enum follow_result
is_deletion_lost(struct follow *follow, bool *lost, struct error *error)
{
    const struct store_follower *state = &follow->state;
    struct follow_number mark;
    char sql[128];

    *lost = follow->log.deletions < state->deletions;
    if (*lost || state->deletions == 0)
        return FOLLOW_OK;
    snprintf(sql, sizeof sql,
             "SELECT mark FROM \"notification_deletion\" WHERE number = %" PRId64,
             state->deletions);
    enum follow_result result = follow_ask(follow, sql, &mark, error);
    /* One that is not kept any more is older than 10,000 others: they are all compared. */
    *lost = result == FOLLOW_OK && mark.found && mark.value != state->deletion_mark;
    return result;
}

/* Whether the log has lost a deletion or the file's last row, or given its id to another. */
static enum follow_result
is_lost(struct follow *follow, bool *lost, struct error *error)
{
    struct store_seen top;
    struct follow_number time;
    struct buf sql = {0};
    bool deleted = false;

    enum follow_result result = is_deletion_lost(follow, lost, error);
    if (result != FOLLOW_OK)
        return result;
    enum store_result read = store_follower_top(follow->store, &top, error);
    if (read != STORE_OK || top.id <= follow->state.base || *lost) /* of another life */
        return follow_store_result(follow, read);
    query_row_time(&sql, follow->settings->table, top.id);
    result = sql.failed ? FOLLOW_AGAIN : follow_ask(follow, sql.p, &time, error);
    buf_fini(&sql);
    if (result != FOLLOW_OK || (time.found && time.value == top.created_at))
        return result;
    if (!time.found)
        result = is_deleted(follow, top.id, &deleted, error);
    *lost = !deleted;
    return result;
}

static enum follow_result
tell_loss(struct follow *follow, struct error *error)
{
    struct follow_number base;
    char sql[96];

    follow->must_compare = true;
    if (follow->log.base > follow->state.cursor)
        return FOLLOW_OK; /* another follower has done it */
    if (follow->log.is_standby) {
        error_set(error,
                  "%s lacks rows that %s has, and is a standby: when it has caught up and "
                  "still does, run SELECT %s_rebase(%" PRId64 ") on the primary",
                  pg_name(follow->pg), follow->settings->db, follow->settings->table,
                  follow->state.cursor);
        return FOLLOW_AGAIN;
    }
    snprintf(sql, sizeof sql, "SELECT \"notification_rebase\"(%" PRId64 ")",
             follow->state.cursor);
    enum follow_result result = follow_ask(follow, sql, &base, error);
    if (result == FOLLOW_OK)
        log_line(follow->settings->log, LOG_WARN,
                 "%s has lost rows that were handed out (up to id %" PRId64
                 "): ids go on above %" PRId64 ", and all readers get a reset",
                 pg_name(follow->pg), follow->state.cursor, base.value);
    return result;
}

enum follow_result
follow_check_loss(struct follow *follow, struct error *error)
{
    bool lost = false;
    enum follow_result result = is_lost(follow, &lost, error);

    if (result == FOLLOW_OK && lost)
        return tell_loss(follow, error);
    if (result == FOLLOW_OK && !follow->log.is_standby &&
        follow->log.last < follow->state.cursor)
        result = follow_skip_to(follow, follow->state.cursor, error);
    return result;
}
