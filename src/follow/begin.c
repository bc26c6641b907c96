/* begin.c - a new connection: is it a log that can be followed, is it the file's, and has the
 * server lost what the file has? Called by follow/follow.c.
 *
 * A server that was promoted, or a backup that was put back, may lack the last commits. Ids are in
 * the order of commits, so what is lost are the highest rows, and the file's highest id shows it.
 * Then the log's base is moved past every id: all readers get a reset, on every node. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "follow/internal.h"
#include "follow/schema.h"

#define BUSY_MS 10000

/* --- the log --------------------------------------------------------------------------- */

static bool
is_true(const struct pg_row *row, int column)
{
    struct slice text = pg_text(row, column);
    return text.p != NULL && text.p[0] == 't';
}

void
follow_take_log(struct follow_log *log, const struct pg_row *row)
{
    struct slice origin = pg_text(row, LOG_ORIGIN);

    *log = (struct follow_log){
        .found = true,
        .version = pg_number(row, LOG_VERSION),
        .base = pg_number(row, LOG_BASE),
        .low_water = pg_number(row, LOG_LOW_WATER),
        .deletions = pg_number(row, LOG_DELETIONS),
        .last = pg_number(row, LOG_LAST),
        .lowest = pg_number(row, LOG_LOWEST),
        .delay_ms = pg_number(row, LOG_DELAY_MS),
        .clock_ms = pg_number(row, LOG_CLOCK_MS),
        .deletion_mark = pg_number(row, LOG_DELETION_MARK),
        .is_standby = is_true(row, LOG_IS_STANDBY),
        .is_numbered = is_true(row, LOG_IS_NUMBERED),
        .is_utf8 = slice_equal(pg_text(row, LOG_ENCODING), slice_of("UTF8"))};
    snprintf(log->origin, sizeof log->origin, "%.*s", (int)origin.len,
             origin.p != NULL ? origin.p : "");
}

enum follow_result
follow_check_log(const struct follow *follow, const struct follow_log *log,
                 struct error *error)
{
    const char *where = pg_name(follow->pg);
    const char *table = follow->settings->table;

    if (!log->found)
        error_set(error,
                  "%s: rowcast has not made the table %s there: run `rowcast follow --init "
                  "URL`, or give --table",
                  where, table);
    else if (log->version > FOLLOW_SCHEMA_VERSION)
        error_set(error,
                  "%s: the table %s has version %" PRId64
                  ", made by a newer rowcast, and this one knows up to %d: upgrade rowcast",
                  where, table, log->version, FOLLOW_SCHEMA_VERSION);
    else if (!log->is_numbered)
        error_set(error,
                  "%s: no trigger numbers the rows of %s: it is off or gone: run "
                  "`rowcast follow --init URL`",
                  where, table);
    else if (log->base < 1 || log->base > ROW_ID_MAX || log->low_water > ROW_ID_MAX)
        error_set(error, "%s: rowcast_meta holds what cannot be ids for %s", where, table);
    else if (follow->state.origin[0] != '\0' &&
             strcmp(follow->state.origin, log->origin) != 0)
        error_set(
            error,
            "%s: it is another log than the one that %s follows: give the URL of that "
            "one, or move the file away to begin again",
            where, follow->settings->db);
    else
        return FOLLOW_OK;
    return FOLLOW_HOPELESS;
}

static enum pg_step
take_log_row(void *arg, int result, const struct pg_row *row)
{
    (void)result;
    follow_take_log(arg, row);
    return PG_MORE;
}

static enum follow_result
read_log(struct follow *follow, struct error *error)
{
    struct buf sql = {0};

    follow->log = (struct follow_log){.found = false};
    query_log(&sql, follow->settings->table);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take_log_row, &follow->log, error);
    buf_fini(&sql);
    return asked != PG_OK ? follow_pg_result(follow, asked)
                          : follow_check_log(follow, &follow->log, error);
}

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

/* --- short queries --------------------------------------------------------------------- */

struct number {
    bool found;
    int64_t value;
};

static enum pg_step
take_number(void *arg, int result, const struct pg_row *row)
{
    (void)result;
    *(struct number *)arg = (struct number){true, pg_number(row, 0)};
    return PG_MORE;
}

/* format: SQL with %PRId64 for the number. */
static enum follow_result
ask(struct follow *follow, const char *text, struct number *number, struct error *error)
{
    struct buf sql = {0};

    *number = (struct number){false, 0};
    query_append(&sql, text, follow->settings->table);
    buf_append(&sql, "", 1);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take_number, number, error);
    buf_fini(&sql);
    return follow_pg_result(follow, asked);
}

/* Ids go on above this one. */
static enum follow_result
skip_to(struct follow *follow, int64_t above, struct error *error)
{
    struct number number;
    char sql[96];

    snprintf(sql, sizeof sql, "SELECT \"notification_skip\"(%" PRId64 ")", above);
    return ask(follow, sql, &number, error);
}

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
        result = skip_to(follow, tail, error);
    if (result == FOLLOW_OK) /* no row has come in between */
        result = read_log(follow, error);
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

/* --- lost rows ------------------------------------------------------------------------- */

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
    struct number mark;
    char sql[128];

    *lost = follow->log.deletions < state->deletions;
    if (*lost || state->deletions == 0)
        return FOLLOW_OK;
    snprintf(sql, sizeof sql,
             "SELECT mark FROM \"notification_deletion\" WHERE number = %" PRId64,
             state->deletions);
    enum follow_result result = ask(follow, sql, &mark, error);
    /* One that is not kept any more is older than 10,000 others: they are all compared. */
    *lost = result == FOLLOW_OK && mark.found && mark.value != state->deletion_mark;
    return result;
}

/* Whether the log has lost a deletion or the file's last row, or given its id to another. */
static enum follow_result
is_lost(struct follow *follow, bool *lost, struct error *error)
{
    struct store_seen top;
    struct number time;
    struct buf sql = {0};
    bool deleted = false;

    enum follow_result result = is_deletion_lost(follow, lost, error);
    if (result != FOLLOW_OK)
        return result;
    enum store_result read = store_follower_top(follow->store, &top, error);
    if (read != STORE_OK || top.id <= follow->state.base || *lost) /* of another life */
        return follow_store_result(follow, read);
    query_row_time(&sql, follow->settings->table, top.id);
    result = sql.failed ? FOLLOW_AGAIN : ask(follow, sql.p, &time, error);
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
    struct number base;
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
    enum follow_result result = ask(follow, sql, &base, error);
    if (result == FOLLOW_OK)
        log_line(follow->settings->log, LOG_WARN,
                 "%s has lost rows that were handed out (up to id %" PRId64
                 "): ids go on above %" PRId64 ", and all readers get a reset",
                 pg_name(follow->pg), follow->state.cursor, base.value);
    return result;
}

static enum follow_result
check_loss(struct follow *follow, struct error *error)
{
    bool lost = false;
    enum follow_result result = is_lost(follow, &lost, error);

    if (result == FOLLOW_OK && lost)
        return tell_loss(follow, error);
    if (result == FOLLOW_OK && !follow->log.is_standby &&
        follow->log.last < follow->state.cursor)
        result = skip_to(follow, follow->state.cursor, error);
    return result;
}

/* --- all of it ------------------------------------------------------------------------- */

/* A standby cannot LISTEN: the look each second has to do. */
static enum follow_result
listen(struct follow *follow, struct error *error)
{
    struct number ignored;

    if (follow->log.is_standby)
        return FOLLOW_OK;
    return ask(follow, "LISTEN \"notification_rows\"", &ignored, error);
}

enum follow_result
follow_begin(struct follow *follow, struct error *error)
{
    struct number ignored;
    enum follow_result result = ask(
        follow, "SET lock_timeout = '5s'; SET statement_timeout = '60s'", &ignored, error);

    if (result == FOLLOW_OK)
        result = read_log(follow, error);
    if (result == FOLLOW_OK)
        result = prepare(follow, error);
    if (result == FOLLOW_OK)
        result = listen(follow, error);
    if (result == FOLLOW_OK && follow->store == NULL)
        result = open_file(follow, error);
    if (result == FOLLOW_OK)
        result = follow_check_log(follow, &follow->log, error);
    if (result == FOLLOW_OK)
        result = check_loss(follow, error);
    if (result == FOLLOW_OK)
        snprintf(follow->state.source, sizeof follow->state.source, "%s",
                 pg_name(follow->pg));
    return result;
}
