/* follower.c - see doctor/follower.h. Called by doctor/table.c, in the child with the server's
 * rights, and by cmd/doctor.c. */
#include "config.h"

#include "doctor/follower.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "follow/inspect.h"
#include "follow/schema.h"
#include "store/follower.h"

#define DELAY_MAX_MS 10000
#define CLOCK_MAX_MS 2000
#define DAY_MS 86400000

/* --- the file -------------------------------------------------------------------------- */

static void
judge_lag(const struct store_follower *follower, int64_t now_ms,
          struct doctor_report *report)
{
    int64_t lag_ms = store_follower_lag_ms(follower, now_ms);

    if (lag_ms == 0)
        doctor_find(report, (struct doctor_head){"follower", DOCTOR_OK, NULL},
                    "the file follows %s and lacks nothing", follower->source);
    else if (follower->trouble[0] != '\0' &&
             now_ms - follower->alive_at_ms <= STORE_FOLLOWER_ALIVE_MS)
        doctor_find(report,
                    (struct doctor_head){"follower", DOCTOR_PROBLEM,
                                         "Streams stay open meanwhile; the follower tries "
                                         "again by itself."},
                    "the file may lack the rows of the last %" PRId64 " s: %s",
                    lag_ms / 1000, follower->trouble);
    else
        doctor_find(report,
                    (struct doctor_head){"follower", DOCTOR_PROBLEM,
                                         "Does `rowcast follow` run? systemctl status "
                                         "rowcast-follow"},
                    "the file may lack the rows of the last %" PRId64
                    " s, and no follower says why",
                    lag_ms / 1000);
}

void
doctor_judge_follower(struct store *store, struct doctor_report *report)
{
    struct store_follower follower;
    struct error error;
    bool is_follower = false;
    int64_t now_ms = clock_unix_ms();

    if (store_follower_read(store, &is_follower, &follower, &error) != STORE_OK ||
        !is_follower)
        return;
    judge_lag(&follower, now_ms, report);
    if (follower.refused > 0)
        doctor_find(
            report,
            (struct doctor_head){"inserts",
                                 now_ms - follower.refused_at_ms < DAY_MS ? DOCTOR_WARNING
                                                                          : DOCTOR_NOTE,
                                 "Let that program insert into PostgreSQL's table."},
            "%" PRId64 " local inserts were refused, the last %" PRId64 " s ago",
            follower.refused, (now_ms - follower.refused_at_ms) / 1000);
}

/* --- the log --------------------------------------------------------------------------- */

static void
judge_facts(const struct follow_facts *facts, const char *table,
            struct doctor_report *report)
{
    if (facts->version > FOLLOW_SCHEMA_VERSION)
        doctor_find(report,
                    (struct doctor_head){"log", DOCTOR_PROBLEM, "Upgrade rowcast here."},
                    "%s: table %s has version %" PRId64 ", and this rowcast knows up to %d",
                    facts->name, table, facts->version, FOLLOW_SCHEMA_VERSION);
    else if (!facts->is_numbered)
        doctor_find(report,
                    (struct doctor_head){"log", DOCTOR_PROBLEM,
                                         "`rowcast follow --init URL` makes it again."},
                    "%s: no trigger numbers the rows of %s: it is off or gone", facts->name,
                    table);
    else
        doctor_find(report, (struct doctor_head){"log", DOCTOR_OK, NULL},
                    "%s answers after %" PRId64 " ms%s, version %" PRId64
                    ", last id %" PRId64,
                    facts->name, facts->connect_ms, facts->is_standby ? ", a standby" : "",
                    facts->version, facts->last);
    if (!facts->is_utf8)
        doctor_find(report,
                    (struct doctor_head){"encoding", DOCTOR_WARNING,
                                         "A database with the encoding UTF8."},
                    "%s has another encoding than UTF8: text may not be what was meant",
                    facts->name);
    if (facts->delay_ms > DELAY_MAX_MS)
        doctor_find(report, (struct doctor_head){"delay", DOCTOR_WARNING, NULL},
                    "%s is %" PRId64 " s behind its primary", facts->name,
                    facts->delay_ms / 1000);
    if (llabs(facts->ahead_ms) > CLOCK_MAX_MS)
        doctor_find(
            report,
            (struct doctor_head){"clock", DOCTOR_WARNING, "Keep both clocks with NTP."},
            "the clock of %s differs from this machine's by %" PRId64 " s", facts->name,
            (int64_t)llabs(facts->ahead_ms) / 1000);
}

static void
judge_origin(const struct follow_facts *facts, const char *table, const char *path,
             struct doctor_report *report)
{
    const struct store_config config = {
        .path = path, .table = table, .mode = STORE_INSPECT, .busy_ms = 2000};
    struct store_follower follower;
    struct error error;
    bool is_follower = false;
    struct store *store = store_open(&config, NULL, &error);

    if (store != NULL &&
        store_follower_read(store, &is_follower, &follower, &error) == STORE_OK &&
        is_follower && strcmp(follower.origin, facts->origin) != 0)
        doctor_find(report,
                    (struct doctor_head){"origin", DOCTOR_PROBLEM,
                                         "Give the URL of the log that it follows, or move "
                                         "the file away to begin again."},
                    "%s follows another log than %s", path, facts->name);
    else if (store != NULL && !is_follower)
        doctor_find(report, (struct doctor_head){"origin", DOCTOR_NOTE, NULL},
                    "%s follows nothing yet", path);
    store_close(store);
}

void
doctor_judge_log(const char *url, const char *table, const char *path,
                 struct doctor_report *report)
{
    struct follow_facts facts;
    struct error error;

    if (follow_inspect(url, table, &facts, &error) != 0) {
        doctor_find(
            report,
            (struct doctor_head){"log", DOCTOR_PROBLEM,
                                 "See rowcast-follow(1); `rowcast follow --init URL` "
                                 "makes the tables."},
            "%s", error.text);
        return;
    }
    judge_facts(&facts, table, report);
    if (path != NULL)
        judge_origin(&facts, table, path, report);
}
