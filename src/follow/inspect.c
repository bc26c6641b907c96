/* inspect.c - see follow/inspect.h. Called by doctor/follower.c. Reads as a follower does, so that
 * it meets the rights that a follower lacks. */
#include "config.h"

#include "follow/inspect.h"

#include <stdio.h>

#include "base/clock.h"
#include "follow/internal.h"

static enum pg_step
take(void *arg, int result, const struct pg_row *row)
{
    if (result == 0)
        follow_take_log(arg, row);
    return PG_MORE;
}

static void
tell(const struct follow_log *log, const struct pg *pg, struct follow_facts *facts)
{
    facts->version = log->version;
    facts->last = log->last;
    facts->delay_ms = log->delay_ms;
    facts->ahead_ms = log->clock_ms - clock_unix_ms();
    facts->is_numbered = log->is_numbered;
    facts->is_standby = log->is_standby;
    facts->is_utf8 = log->is_utf8;
    snprintf(facts->origin, sizeof facts->origin, "%s", log->origin);
    snprintf(facts->name, sizeof facts->name, "%s", pg_name(pg));
}

static int
ask(struct pg *pg, const char *table, struct follow_log *log, struct error *error)
{
    struct buf sql = {0};

    query_prepare(&sql, table);
    enum pg_outcome asked = sql.failed ? PG_LOST : pg_run(pg, sql.p, NULL, NULL, error);
    buf_fini(&sql);
    query_look(&sql, table, INT64_MAX - 1, INT64_MAX - 1);
    if (asked == PG_OK)
        asked = sql.failed ? PG_LOST : pg_run(pg, sql.p, take, log, error);
    buf_fini(&sql);
    if (asked == PG_OK && !log->found)
        error_set(error, "%s: rowcast has not made the table %s there", pg_name(pg), table);
    return asked == PG_OK && log->found ? 0 : -1;
}

int
follow_inspect(const char *url, const char *table, struct follow_facts *facts,
               struct error *error)
{
    struct follow_log log = {.found = false};
    int64_t began_ms = clock_unix_ms();

    *facts = (struct follow_facts){.version = 0};
    struct pg *pg = pg_open(url, error);
    if (pg == NULL)
        return -1;
    int outcome = ask(pg, table, &log, error);
    if (outcome == 0)
        tell(&log, pg, facts);
    facts->connect_ms = clock_unix_ms() - began_ms;
    pg_close(pg);
    return outcome;
}
