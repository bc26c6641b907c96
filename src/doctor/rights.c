/* rights.c - the rights on the database, its -wal and -shm, and its folder; see doctor/rights.h.
 *
 * Called by doctor/table.c. It asks the kernel and changes nothing. */
#include "config.h"

#include "doctor/rights.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/inspect.h"

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

bool
doctor_judge_rights(const char *path, const char *who, struct doctor_report *report)
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
