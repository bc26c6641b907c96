/* db.c - who serves the database, and the database as that user sees it.
 *
 * Called by cmd/doctor.c. Rights are judged by trying, with all that the kernel knows of
 * (groups, ACLs, read-only mounts), and not by reading mode bits: as root in a child that has
 * become the user. The child hands its findings over through a pipe; it also keeps SQLite and
 * its locks out of this process. */
#include "config.h"

#include "doctor/db.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/process.h"

#define NAME_MAX_BYTES 64
#define OWN_DESCRIPTORS 32 /* files, sockets and a reserve of the responder's own */

struct person {
    uid_t uid;
    gid_t gid;
    char name[NAME_MAX_BYTES];
};

/* --- who ----------------------------------------------------------------------------- */

static void
take_person(struct person *person, uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);

    person->uid = uid;
    person->gid = entry != NULL ? entry->pw_gid : getegid();
    snprintf(person->name, sizeof person->name, "%s", entry != NULL ? entry->pw_name : "");
    if (entry == NULL)
        snprintf(person->name, sizeof person->name, "user %u", (unsigned)uid);
}

static int
choose_person(const struct doctor_database *database, const struct serving *serving,
              struct person *person, struct error *error)
{
    uid_t me = geteuid();

    if (database->user != NULL) {
        const struct passwd *entry = getpwnam(database->user);
        if (entry == NULL)
            return error_set(error, "there is no user \"%.64s\": check --user",
                             database->user);
        if (me != 0 && entry->pw_uid != me)
            return error_set(error,
                             "only root can judge for user %.64s: run doctor as root or as "
                             "that user",
                             database->user);
        me = entry->pw_uid;
    } else if (me == 0 && serving->count > 0) {
        me = serving->processes[0].uid;
    }
    take_person(person, me);
    return 0;
}

/* --- who serves it ------------------------------------------------------------------- */

static void
judge_descriptors(const struct serving *serving, int64_t streams,
                  struct doctor_report *report)
{
    struct doctor_head head = {"descriptors", DOCTOR_OK, NULL};
    struct person person;
    int64_t room = 0;

    for (size_t i = 0; i < serving->count; i++) {
        int64_t files = serving->processes[i].files;
        if (files < 0)
            return; /* no limit, or none that can be seen */
        room += files > OWN_DESCRIPTORS ? files - OWN_DESCRIPTORS : 0;
    }
    if (room < streams) {
        head.level = DOCTOR_WARNING;
        head.remedy = "Raise the hard limit of open files where rowcast is started: ulimit "
                      "-n, LimitNOFILE=\n"
                      "(systemd), server.max-fds (lighttpd's bin-path). --streams N says "
                      "how many pages there\n"
                      "may be.";
    }
    take_person(&person, serving->processes[0].uid);
    doctor_find(report, head,
                "%zu process%s (%d, %s) may open descriptors for about %lld pages at once; "
                "%lld are wanted",
                serving->count, serving->count == 1 ? "" : "es",
                (int)serving->processes[0].pid, person.name, (long long)room,
                (long long)streams);
}

static void
judge_serving(const struct doctor_database *database, const struct serving *serving,
              struct doctor_report *report)
{
    struct person person;

    if (serving->count == 0) {
        doctor_find(report, (struct doctor_head){"process", DOCTOR_NOTE, NULL},
                    serving->is_partial
                        ? "whether `rowcast serve` has it open cannot be seen: root could"
                        : "no `rowcast serve` has it open just now");
        return;
    }
    judge_descriptors(serving, database->streams, report);
    if (doctor_is_served_read_only(serving))
        doctor_find(
            report,
            (struct doctor_head){
                "read-only", DOCTOR_NOTE,
                "With a -wal and -shm of a writer on this machine they come at once."},
            "served with --read-only: a file that is changed past SQLite is looked at "
            "once a second");
    if (database->user == NULL)
        return;
    take_person(&person, serving->processes[0].uid);
    if (strcmp(person.name, database->user) != 0)
        doctor_find(report,
                    (struct doctor_head){"process", DOCTOR_NOTE,
                                         "Leave --user out to judge for that one."},
                    "process %d serves it as %s, not as %s", (int)serving->processes[0].pid,
                    person.name, database->user);
}

/* --- the child ------------------------------------------------------------------------ */

static int
become(const struct person *person)
{
    if (geteuid() != 0 || person->uid == 0)
        return 0;
    if (initgroups(person->name, person->gid) != 0 || setgid(person->gid) != 0)
        return -1;
    return setuid(person->uid);
}

static void
look_as(const struct person *person, const struct doctor_database *database, int out)
{
    struct doctor_report report = {.count = 0};

    if (become(person) != 0)
        doctor_find(&report, (struct doctor_head){"rights", DOCTOR_PROBLEM, NULL},
                    "cannot become %s: %s", person->name, strerror(errno));
    else
        doctor_look_at_database(database, person->name, &report);
    for (size_t i = 0; i < report.count; i++) {
        if (write(out, &report.findings[i], sizeof report.findings[i]) < 0)
            _exit(1);
    }
    _exit(0);
}

/* A finding is smaller than PIPE_BUF, so it was written whole; it may come in pieces. */
static void
read_findings(int in, struct doctor_report *report)
{
    struct doctor_finding finding;
    size_t have = 0;

    for (;;) {
        ssize_t len = read(in, (char *)&finding + have, sizeof finding - have);
        if (len == -1 && errno == EINTR)
            continue;
        if (len <= 0)
            return;
        have += (size_t)len;
        if (have == sizeof finding) {
            doctor_take(report, &finding);
            have = 0;
        }
    }
}

static int
look_in_child(const struct person *person, const struct doctor_database *database,
              struct doctor_report *report, struct error *error)
{
    int ends[2], status = 0;

    if (pipe(ends) != 0)
        return error_set(error, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        look_as(person, database, ends[1]);
    }
    close(ends[1]);
    if (pid > 0)
        read_findings(ends[0], report);
    close(ends[0]);
    if (pid < 0)
        return error_set(error, "cannot fork: %s", strerror(errno));
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(error, "the process that looked at the database has failed");
    return 0;
}

int
doctor_check_database(const struct doctor_database *database, struct doctor_report *report,
                      struct error *error)
{
    struct serving serving;
    struct person person = {0};

    doctor_find_serving(database->path, &serving);
    if (choose_person(database, &serving, &person, error) != 0)
        return -1;
    if (look_in_child(&person, database, report, error) != 0)
        return -1;
    judge_serving(database, &serving, report);
    return 0;
}
