/* log.c - asks the server: what the log says of itself, and queries whose answer is one number.
 *
 * Called by follow/begin.c and follow/lost.c. A look (follow/batch.c) and `rowcast doctor`
 * (follow/inspect.c) get the same row of the log with their own queries, and judge it here. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "follow/internal.h"
#include "follow/schema.h"

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

enum follow_result
follow_read_log(struct follow *follow, struct error *error)
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

/* --- short queries --------------------------------------------------------------------- */

static enum pg_step
take_number(void *arg, int result, const struct pg_row *row)
{
    (void)result;
    *(struct follow_number *)arg = (struct follow_number){true, pg_number(row, 0)};
    return PG_MORE;
}

enum follow_result
follow_ask(struct follow *follow, const char *text, struct follow_number *number,
           struct error *error)
{
    struct buf sql = {0};

    *number = (struct follow_number){false, 0};
    query_append(&sql, text, follow->settings->table);
    buf_append(&sql, "", 1);
    enum pg_outcome asked =
        sql.failed ? PG_LOST : pg_run(follow->pg, sql.p, take_number, number, error);
    buf_fini(&sql);
    return follow_pg_result(follow, asked);
}

enum follow_result
follow_skip_to(struct follow *follow, int64_t above, struct error *error)
{
    struct follow_number number;
    char sql[96];

    snprintf(sql, sizeof sql, "SELECT \"notification_skip\"(%" PRId64 ")", above);
    return follow_ask(follow, sql, &number, error);
}
