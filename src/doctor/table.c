/* table.c - the table of notifications and its marks, seen with the rights of this process.
 *
 * Called by doctor/db.c, in its child. Nothing is written: STORE_INSPECT makes no file. */
#include "config.h"

#include "doctor/db.h"

#include <time.h>

#include "doctor/follower.h"
#include "doctor/journal.h"
#include "doctor/push.h"
#include "doctor/rights.h"
#include "store/inspect.h"
#include "track/track.h"

#define LOCKED_MS 2000

#define IDS_LEFT_MIN (INT64_C(1) << 40)

/* Ids that readers have seen would be given once more. A low-water mark below the base is in
 * order: so `rowcast rebase` leaves it. A foreign table, of base 0, has no marks of ours. */
static bool
ids_go_back(const struct store_marks *marks)
{
    return marks->base > 0 &&
           (marks->sequence < marks->base || marks->sequence < marks->low_water);
}

static void
judge_marks(const struct store_marks *marks, struct doctor_report *report)
{
    if (ids_go_back(marks))
        doctor_find(
            report,
            (struct doctor_head){"marks", DOCTOR_PROBLEM,
                                 "`rowcast init --db FILE` puts it right, and so does "
                                 "`rowcast rebase`; readers "
                                 "get a gap event with reason reset."},
            "base %lld, low-water mark %lld and sequence %lld contradict each other: a "
            "migration has copied the table, or they were changed by hand",
            (long long)marks->base, (long long)marks->low_water,
            (long long)marks->sequence);
    else if (marks->tail > ROW_ID_MAX - IDS_LEFT_MIN)
        doctor_find(
            report,
            (struct doctor_head){"marks", DOCTOR_WARNING,
                                 "Find the writer that gives ids itself; a new table has "
                                 "low ids again."},
            "the highest id is %lld: the ids up to 2^53 - 1 are nearly used up",
            (long long)marks->tail);
    else if (marks->lowest <= marks->low_water)
        doctor_find(
            report,
            (struct doctor_head){
                "marks", DOCTOR_NOTE,
                "Delete from the lowest id on, as `rowcast prune --keep-age` does."},
            "there are rows below the highest id ever deleted (%lld): readers that resume "
            "get a gap event and do not get them",
            (long long)marks->low_water);
}

static void
judge_keys(const struct store *store, struct doctor_report *report)
{
    if (store_ignores_keys(store))
        doctor_find(
            report,
            (struct doctor_head){"keys", DOCTOR_WARNING,
                                 "Make an index that begins with the columns channel, "
                                 "collapse_key, recipient (those that exist)."},
            "no index covers collapse_key: no row is left out for a newer one");
}

/* An hour is more than any two clocks should differ by. */
#define FUTURE_MS 3600000

static enum store_step
take_created_at(void *arg, const struct row *row)
{
    *(int64_t *)arg = row->created_at;
    return STORE_STOP;
}

static void
judge_times(struct store *store, const struct store_marks *marks,
            struct doctor_report *report)
{
    struct timespec now;
    int64_t newest = 0;
    struct store_progress progress;
    struct store_range range = {.after = marks->lowest - 1,
                                .up_to = marks->tail,
                                .max_rows = 1,
                                .row = take_created_at,
                                .arg = &newest};

    clock_gettime(CLOCK_REALTIME, &now);
    if (store_read_back(store, &range, &progress, NULL) == STORE_OK &&
        newest > (int64_t)now.tv_sec * 1000 + FUTURE_MS)
        doctor_find(
            report,
            (struct doctor_head){"times", DOCTOR_WARNING,
                                 "created_at is in Unix milliseconds: leave it out, "
                                 "so that the table fills it in."},
            "the newest row is dated in the future (%lld): since= and --keep-age "
            "cannot go by such rows",
            (long long)newest);
}

static void
find_tracked(void *arg, const struct track_finding *finding)
{
    struct doctor_report *report = arg;
    struct doctor_head head = {"track", finding->fits ? DOCTOR_OK : DOCTOR_WARNING, NULL};

    doctor_find(report, head, "%s: %s", finding->name, finding->text);
}

static void
judge_tracked(struct store *store, struct doctor_report *report)
{
    struct error error;

    if (track_compare(store, find_tracked, report, &error) != STORE_OK)
        doctor_find(report, (struct doctor_head){"track", DOCTOR_WARNING, NULL}, "%s",
                    error.text);
}

static void
judge_rows(const struct store_config *config, struct doctor_report *report)
{
    struct store_marks marks;
    struct error error;
    struct store *store = store_open(config, NULL, &error);
    struct doctor_head head = {"table", DOCTOR_PROBLEM, NULL};

    if (store == NULL || store_read_marks(store, &marks, &error) != STORE_OK) {
        doctor_find(report, head, "%s", error.text);
    } else {
        head.level = DOCTOR_OK;
        doctor_find(report, head, "%s, highest id %lld, rows after %lld can be resumed",
                    config->table, (long long)marks.tail, (long long)marks.low_water);
        judge_marks(&marks, report);
        judge_keys(store, report);
        judge_times(store, &marks, report);
        doctor_judge_follower(store, report);
        doctor_judge_push(store, report);
        if (store_fault(store) != NULL && !ids_go_back(&marks))
            doctor_find(report,
                        (struct doctor_head){"schema", DOCTOR_PROBLEM,
                                             "`rowcast init --db FILE --table NAME`, after "
                                             "each such migration."},
                        "%s", store_fault(store));
        judge_tracked(store, report);
    }
    store_close(store);
}

static void
judge_table(const struct doctor_database *database, struct doctor_report *report)
{
    struct store_config config = {.path = database->path,
                                  .table = database->table,
                                  .mode = STORE_INSPECT,
                                  .busy_ms = LOCKED_MS};
    struct doctor_head head = {"schema", DOCTOR_PROBLEM, NULL};
    enum store_kind kind = STORE_KIND_NONE;
    struct error error;
    int version = 0;

    enum store_result result = store_inspect(&config, &kind, &version, &error);
    if (result != STORE_OK) {
        head.check = result == STORE_BUSY ? "lock" : "database";
        doctor_find(report, head, "%s", error.text);
    } else if (kind == STORE_KIND_NONE) {
        head.check = "table";
        head.remedy =
            "Make it: `rowcast init --db FILE --table NAME`; or check --db and --table.";
        doctor_find(report, head, "%s has no table %s", database->path, database->table);
    } else if (kind == STORE_KIND_OURS && version > STORE_SCHEMA_VERSION) {
        head.remedy = "Upgrade this rowcast.";
        doctor_find(report, head,
                    "version %d, made by a newer rowcast; this one knows up to %d", version,
                    STORE_SCHEMA_VERSION);
    } else if (kind == STORE_KIND_OURS && version < STORE_SCHEMA_VERSION) {
        head.remedy = "Migrate it: `rowcast init --db FILE --table NAME`.";
        doctor_find(report, head, "the old version %d", version);
    } else {
        head.level = kind == STORE_KIND_OURS ? DOCTOR_OK : DOCTOR_NOTE;
        if (kind == STORE_KIND_OURS)
            doctor_find(report, head, "version %d", version);
        else
            doctor_find(report, head, "%s was not made by rowcast, which only reads it",
                        database->table);
        judge_rows(&config, report);
    }
}

/* Whether all that write to it write to the same three files. */
static void
judge_names(const struct doctor_database *database, struct doctor_report *report)
{
    struct error error;

    if (store_inspect_names(database->path, &error))
        doctor_find(report, (struct doctor_head){"files", DOCTOR_PROBLEM, NULL}, "%s",
                    error.text);
    else if (!store_files_can_see_strangers())
        doctor_find(report,
                    (struct doctor_head){"files", DOCTOR_NOTE,
                                         "Run doctor where /proc/locks can be read."},
                    "whether a process uses another -shm than the one beside the database "
                    "cannot be seen");
}

void
doctor_look_at_database(const struct doctor_database *database, const char *who,
                        struct doctor_report *report)
{
    if (!doctor_judge_rights(database->path, who, report))
        return;
    judge_names(database, report);
    doctor_judge_journal(database->path, report);
    judge_table(database, report);
}
