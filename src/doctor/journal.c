/* journal.c - the journal mode and the write-ahead log; see doctor/journal.h.
 *
 * Called by doctor/table.c. The log's state is read from its files, not by a checkpoint, which
 * would change it. */
#include "config.h"

#include "doctor/journal.h"

#include <stdio.h>
#include <time.h>

#include "doctor/process.h"
#include "store/inspect.h"

/* SQLite's own idea of a log that is due: wal_autocheckpoint's default (sqlite.org/pragma.html). */
#define DUE_FRAMES 1000

/* A reader is called long when it was seen each time. */
#define SAMPLES 10
#define SAMPLE_PAUSE_MS 100

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

void
doctor_judge_journal(const char *path, struct doctor_report *report)
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
