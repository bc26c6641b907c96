/* table.c - rights, journal, write-ahead log and table, seen with the rights of this process.
 *
 * Called by doctor/db.c, in its child. Nothing is written: the log's state is read from its files
 * instead of by a checkpoint, and STORE_INSPECT makes no file. */
#include "config.h"

#include "doctor/db.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doctor/follower.h"
#include "doctor/push.h"
#include "doctor/process.h"
#include "store/inspect.h"
#include "track/track.h"

#define LOCKED_MS 2000

/* SQLite's own idea of a log that is due: wal_autocheckpoint's default (sqlite.org/pragma.html). */
#define DUE_FRAMES 1000

/* A reader is called long when it was seen each time. */
#define SAMPLES 10
#define SAMPLE_PAUSE_MS 100

#define IDS_LEFT_MIN (INT64_C(1) << 40)

/* --- rights -------------------------------------------------------------------------- */

/* Where the remedy begins in "what: give it the right, as with ...", or NULL. */
static const char *
find_remedy(const char *text)
{
    static const char *const marks[] = {": give it ", ": mount it "};
    const char *cut = NULL;

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (const char *p = text; (p = strstr(p, marks[i])) != NULL; p++)
            cut = cut == NULL || p > cut ? p : cut;
    return cut;
}

/* Such an error in its two parts. */
static void
find_error(struct doctor_report *report, struct doctor_head head, const struct error *error)
{
    const char *cut = find_remedy(error->text);

    if (cut == NULL) {
        doctor_find(report, head, "%s", error->text);
        return;
    }
    char remedy[ERROR_TEXT_MAX];
    snprintf(remedy, sizeof remedy, "%c%s", toupper((unsigned char)cut[2]), cut + 3);
    head.remedy = remedy;
    doctor_find(report, head, "%.*s", (int)(cut - error->text), error->text);
}

static bool
may_write(const char *path, const char *suffix)
{
    char name[PATH_MAX];

    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
        return false;
    return faccessat(AT_FDCWD, name, F_OK, 0) != 0 ||
           faccessat(AT_FDCWD, name, W_OK, AT_EACCESS) == 0;
}

/* What a reader can do without for the moment. */
static void
judge_writing(const char *path, const char *who, struct doctor_report *report)
{
    char real[PATH_MAX];
    struct doctor_head head = {"rights", DOCTOR_WARNING,
                               "Give it the right, as with chgrp and chmod g+w."};

    if (realpath(path, real) == NULL)
        return;
    if (faccessat(AT_FDCWD, real, W_OK, AT_EACCESS) != 0 && errno == EROFS)
        head.remedy =
            "Mount it read-write; in a systemd service add ReadWritePaths= and the "
            "database's folder.";
    if (!may_write(real, "-shm"))
        doctor_find(
            report, head,
            "%s may read %s-shm but not write it: it then reads only what others have "
            "prepared, and cannot recover the log after a crash",
            who, real);
    bool may_write_file = may_write(real, "");
    char *slash = strrchr(real, '/');
    slash[slash == real] = '\0';
    if (!may_write(real, ""))
        doctor_find(report, head,
                    "%s may not write the folder %s: when the last process has closed the "
                    "database, its -wal and -shm go, and this user cannot make them again",
                    who, real);
    if (!may_write_file)
        doctor_find(report, (struct doctor_head){"rights", DOCTOR_NOTE, NULL},
                    "%s may not write the database: enough to serve it, not for serve "
                    "--keep-age and --keep-rows, nor for send and prune",
                    who);
}

static bool
judge_rights(const char *path, const char *who, struct doctor_report *report)
{
    struct error error;

    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 &&
        !store_diagnose_rights(path, STORE_READ, &error)) {
        doctor_find(
            report,
            (struct doctor_head){"rights", DOCTOR_PROBLEM,
                                 "Check --db; `rowcast init` makes a new database."},
            "%s is not there", path);
        return false;
    }
    if (store_diagnose_rights(path, STORE_READ, &error)) {
        find_error(report, (struct doctor_head){"rights", DOCTOR_PROBLEM, NULL}, &error);
        return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
    }
    size_t before = report->count;
    judge_writing(path, who, report);
    if (geteuid() == 0)
        doctor_find(
            report,
            (struct doctor_head){"rights", DOCTOR_NOTE,
                                 "Give --user NAME: the one that runs `rowcast serve`."},
            "judged as root, who may do anything");
    else if (report->count == before)
        doctor_find(report, (struct doctor_head){"rights", DOCTOR_OK, NULL},
                    "%s may read and write the database, its -wal and -shm, and its folder",
                    who);
    return true;
}

/* --- the log ------------------------------------------------------------------------- */

/* The mark of a reader that a checkpoint has to wait for, -1 when there is none. */
static int
find_holder(const struct store_wal *wal)
{
    int holder = -1;

    for (int i = 0; i < STORE_WAL_READERS; i++) {
        if (wal->readers[i].locked && wal->readers[i].frame < wal->frames &&
            (holder < 0 || wal->readers[i].frame < wal->readers[holder].frame))
            holder = i;
    }
    return holder;
}

/* The same reader, at the same place, for about a second: not one of many short ones. */
static bool
is_long(const char *path, const struct store_wal *first, int holder)
{
    struct timespec pause = {.tv_nsec = SAMPLE_PAUSE_MS * 1000000L};
    struct store_wal wal;
    struct error ignored;

    for (int i = 0; i < SAMPLES; i++) {
        nanosleep(&pause, NULL);
        if (store_inspect_wal(path, &wal, &ignored) != 0 || !wal.readers[holder].locked ||
            wal.readers[holder].pid != first->readers[holder].pid ||
            wal.readers[holder].frame != first->readers[holder].frame)
            return false;
    }
    return true;
}

static void
find_held(const struct store_wal *wal, int holder, struct doctor_report *report)
{
    char name[PROCESS_NAME_MAX];
    char who[PROCESS_NAME_MAX + 32] = "a process of another container or machine";
    uint32_t open = wal->frames - wal->readers[holder].frame;
    pid_t pid = wal->readers[holder].pid;

    if (pid > 0)
        snprintf(who, sizeof who, "process %d (%s)", (int)pid,
                 doctor_process_name(pid, name));
    doctor_find(
        report,
        (struct doctor_head){"wal", open >= DUE_FRAMES ? DOCTOR_WARNING : DOCTOR_NOTE,
                             "That program keeps a read transaction open (BEGIN without "
                             "COMMIT, or a SELECT that is\n"
                             "not read to its end): end it there, or restart the program. "
                             "The log then stops growing."},
        "%s has been reading for longer than a second and holds checkpoints back: %u pages "
        "wait in the log, which has %lld KiB",
        who, open, (long long)wal->bytes / 1024);
}

static void
judge_wal(const char *path, const struct store_wal *wal, struct doctor_report *report)
{
    int holder = find_holder(wal);
    uint32_t open = wal->frames - wal->checkpointed;

    if (holder >= 0 && is_long(path, wal, holder)) {
        find_held(wal, holder, report);
        return;
    }
    if (wal->bytes < 0 || wal->shm_bytes < 0) {
        doctor_find(report, (struct doctor_head){"wal", DOCTOR_OK, NULL},
                    "no process has the database open");
        return;
    }
    struct doctor_head head = {"wal", DOCTOR_OK, NULL};
    if (open >= 4 * DUE_FRAMES) {
        head.level = DOCTOR_WARNING;
        head.remedy = "Does a writer set wal_autocheckpoint to 0, or keep a transaction "
                      "open? Once they are done:\n"
                      "PRAGMA wal_checkpoint(TRUNCATE)";
    } else if (wal->bytes >= (int64_t)64 << 20) {
        head.level = DOCTOR_NOTE;
        head.remedy =
            "The file keeps its largest size. To make it small again, at a quiet time:\n"
            "PRAGMA wal_checkpoint(TRUNCATE)";
    }
    doctor_find(report, head,
                "the log has %lld KiB; %u of its %u pages wait for a checkpoint",
                (long long)wal->bytes / 1024, open, wal->frames);
}

static void
judge_journal(const char *path, struct doctor_report *report)
{
    struct store_wal wal;
    struct error error;

    if (store_inspect_wal(path, &wal, &error) != 0) {
        doctor_find(report, (struct doctor_head){"journal", DOCTOR_PROBLEM, NULL}, "%s",
                    error.text);
    } else if (!wal.wal_mode) {
        doctor_find(report,
                    (struct doctor_head){
                        "journal", DOCTOR_WARNING,
                        "PRAGMA journal_mode = WAL, once, by anybody who may write."},
                    "a rollback journal, not WAL: readers and writers wait for each other");
    } else {
        doctor_find(
            report, (struct doctor_head){"journal", DOCTOR_OK, NULL},
            "WAL; an application that sets another journal_mode while rowcast has it "
            "open learns that the database is locked");
        judge_wal(path, &wal, report);
    }
}

/* --- the table ----------------------------------------------------------------------- */

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
    if (!judge_rights(database->path, who, report))
        return;
    judge_names(database, report);
    judge_journal(database->path, report);
    judge_table(database, report);
}
