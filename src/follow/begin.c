/* begin.c - a new connection: reads the log, opens the file, and decides whether the file can
 * follow the log. Called by follow/follow.c.
 *
 * follow/log.c asks the server, follow/lost.c finds out whether the server has lost rows. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "follow/internal.h"

#define BUSY_MS 10000

/* --- the file -------------------------------------------------------------------------- */

static bool
has_never_had_a_row(const struct store_marks *marks)
{
    return marks->lowest > marks->tail && marks->low_water == marks->base &&
           marks->tail == marks->base;
}

static struct store_follower
state_of(const struct follow *follow, int64_t cursor, int64_t base)
{
    struct store_follower state = {.cursor = cursor,
                                   .base = base,
                                   .deletions = follow->log.deletions,
                                   .deletion_mark = follow->log.deletion_mark,
                                   .alive_at_ms = clock_unix_ms()};

    snprintf(state.origin, sizeof state.origin, "%s", follow->log.origin);
    snprintf(state.source, sizeof state.source, "%s", pg_name(follow->pg));
    return state;
}

/* An empty file begins below the lowest row that the log keeps. */
static enum follow_result
mark_new(struct follow *follow, struct error *error)
{
    const struct follow_log *log = &follow->log;
    int64_t floor =
        log->lowest > 0 && log->lowest <= log->base ? log->lowest - 1 : log->base;

    if (floor < 1)
        floor = 1;
    follow->state = state_of(follow, floor, floor);
    return follow_store_result(
        follow, store_follower_mark(follow->store, &follow->state, floor, error));
}

static enum follow_result
check_overlap(const struct follow *follow, int64_t tail, struct error *error)
{
    if (follow->log.lowest == 0 || follow->log.lowest > tail)
        return FOLLOW_OK;
    error_set(error,
              "%s has rows of its own with ids up to %" PRId64
              ", and %s has rows from %" PRId64
              " on: their ids overlap: give another file with --db",
              follow->settings->db, tail, pg_name(follow->pg), follow->log.lowest);
    return FOLLOW_HOPELESS;
}

/* An application's file goes on as a follower's: its rows stay, the log's ids go on above them, and
 * its readers keep their place. */
static enum follow_result
mark_grown(struct follow *follow, int64_t tail, struct error *error)
{
    if (follow->log.is_standby) {
        error_set(error,
                  "%s has rows of its own, and %s is a standby, where ids cannot be moved "
                  "past them: connect to the primary once",
                  follow->settings->db, pg_name(follow->pg));
        return FOLLOW_HOPELESS;
    }
    enum follow_result result = check_overlap(follow, tail, error);
    if (result == FOLLOW_OK)
        result = follow_skip_to(follow, tail, error);
    if (result == FOLLOW_OK) /* no row has come in between */
        result = follow_read_log(follow, error);
    if (result == FOLLOW_OK)
        result = check_overlap(follow, tail, error);
    if (result != FOLLOW_OK)
        return result;
    /* Its own rows are not in the log, and need not be. */
    follow->state =
        state_of(follow, tail, follow->log.base > tail ? follow->log.base : tail);
    log_line(follow->settings->log, LOG_WARN,
             "%s has rows of its own up to id %" PRId64
             ": it follows from there on, and takes no local INSERT any more",
             follow->settings->db, tail);
    return follow_store_result(
        follow, store_follower_mark(follow->store, &follow->state, tail, error));
}

static enum follow_result
mark_file(struct follow *follow, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_read_marks(follow->store, &marks, error);

    if (result != STORE_OK)
        return follow_store_result(follow, result);
    enum follow_result marked = has_never_had_a_row(&marks)
                                    ? mark_new(follow, error)
                                    : mark_grown(follow, marks.tail, error);
    if (marked != FOLLOW_OK)
        follow->state.origin[0] = '\0';
    return marked;
}

static enum follow_result
open_file(struct follow *follow, struct error *error)
{
    const struct store_config config = {.path = follow->settings->db,
                                        .table = follow->settings->table,
                                        .mode = STORE_WRITE,
                                        .busy_ms = BUSY_MS,
                                        .keep_wal = true};
    struct store_init_result ignored;
    bool is_follower = false;
    bool busy = false;

    if (store_init(&config, STORE_JOURNAL_WAL, &ignored, error) != 0)
        return follow->was_well ? FOLLOW_AGAIN : FOLLOW_HOPELESS;
    follow->store = store_open(&config, &busy, error);
    if (follow->store == NULL)
        return busy || follow->was_well ? FOLLOW_AGAIN : FOLLOW_HOPELESS;
    enum store_result result = store_set_durability(follow->store, STORE_LAZY, error);
    if (result == STORE_OK)
        result = store_follower_read(follow->store, &is_follower, &follow->state, error);
    if (result != STORE_OK)
        return follow_store_result(follow, result);
    return is_follower ? FOLLOW_OK : mark_file(follow, error);
}

/* --- the connection -------------------------------------------------------------------- */

/* What looks need. */
static enum follow_result
prepare(struct follow *follow, struct error *error)
{
    struct buf sql = {0};

    query_prepare(&sql, follow->settings->table);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, NULL, NULL, error);
    buf_fini(&sql);
    return follow_pg_result(follow, asked);
}

/* A standby cannot LISTEN: the look each second has to do. */
static enum follow_result
listen(struct follow *follow, struct error *error)
{
    struct follow_number ignored;

    if (follow->log.is_standby)
        return FOLLOW_OK;
    return follow_ask(follow, "LISTEN \"notification_rows\"", &ignored, error);
}

enum follow_result
follow_begin(struct follow *follow, struct error *error)
{
    struct follow_number ignored;
    enum follow_result result = follow_ask(
        follow, "SET lock_timeout = '5s'; SET statement_timeout = '60s'", &ignored, error);

    if (result == FOLLOW_OK)
        result = follow_read_log(follow, error);
    if (result == FOLLOW_OK)
        result = prepare(follow, error);
    if (result == FOLLOW_OK)
        result = listen(follow, error);
    if (result == FOLLOW_OK && follow->store == NULL)
        result = open_file(follow, error);
    if (result == FOLLOW_OK)
        result = follow_check_log(follow, &follow->log, error);
    if (result == FOLLOW_OK)
        result = follow_check_loss(follow, error);
    if (result == FOLLOW_OK)
        snprintf(follow->state.source, sizeof follow->state.source, "%s",
                 pg_name(follow->pg));
    return result;
}
