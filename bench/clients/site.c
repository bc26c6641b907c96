/* site.c - starts and ends the rowcast that is measured. */
#include "config.h"

#include "site.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void
cannot_run(const char *rowcast)
{
    fprintf(stderr, "bench: cannot run %s: %s (set --rowcast)\n", rowcast, strerror(errno));
    _exit(127);
}

static pid_t
start_init(const struct site *site, const char *rowcast)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (freopen("/dev/null", "w", stdout) == NULL) /* ours carries the numbers */
        _exit(127);
    execl(rowcast, rowcast, "init", "--db", site->db, (char *)NULL);
    cannot_run(rowcast);
}

static pid_t
start_serve(const struct site *site, const char *rowcast)
{
    char address[sizeof site->socket + 8];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(address, sizeof address, "unix:%s", site->socket);
    execl(rowcast, rowcast, "serve", "--db", site->db, "--listen", address, "--log-level",
          "warn", (char *)NULL);
    cannot_run(rowcast);
}

void
site_start(struct site *site, const char *rowcast, const char *parent)
{
    int status;

    *site = (struct site){0};
    snprintf(site->folder, sizeof site->folder, "%s/rowcast-bench-XXXXXX", parent);
    if (mkdtemp(site->folder) == NULL) {
        fprintf(stderr, "bench: cannot make %s: %s\n", site->folder, strerror(errno));
        exit(1);
    }
    snprintf(site->db, sizeof site->db, "%s/bench.db", site->folder);
    snprintf(site->socket, sizeof site->socket, "%s/rowcast.sock", site->folder);

    fflush(NULL);
    pid_t pid = start_init(site, rowcast);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        site_fail(site, "%s init failed", rowcast);
    site->pid = start_serve(site, rowcast);
    if (site->pid < 0)
        site_fail(site, "cannot fork: %s", strerror(errno));
}

int
site_is_up(struct site *site)
{
    if (site->pid <= 0)
        return 0;
    if (waitpid(site->pid, NULL, WNOHANG) == 0)
        return 1;
    site->pid = 0;
    return 0;
}

/* The folder is flat, and ours alone. */
static void
remove_folder(const char *folder)
{
    DIR *entries = opendir(folder);

    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
    rmdir(folder);
}

void
site_stop(struct site *site)
{
    if (site->pid > 0) {
        kill(site->pid, SIGTERM);
        waitpid(site->pid, NULL, 0);
        site->pid = 0;
    }
    remove_folder(site->folder);
}

_Noreturn void
site_fail(struct site *site, const char *format, ...)
{
    va_list args;

    fputs("bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    site_stop(site);
    exit(1);
}

static long
read_switches(const char *path)
{
    char line[256];
    long count = 0;
    FILE *status = fopen(path, "r");

    if (status == NULL)
        return 0; /* the thread has just ended */
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1)
            break;
    }
    fclose(status);
    return count;
}

long
site_wake_ups(const struct site *site)
{
    char folder[64];
    long sum = 0;

    snprintf(folder, sizeof folder, "/proc/%ld/task", (long)site->pid);
    DIR *tasks = opendir(folder);
    if (tasks == NULL)
        return -1;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[sizeof folder + sizeof task->d_name + 16];
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/status", folder, task->d_name);
        sum += read_switches(path);
    }
    closedir(tasks);
    return sum;
}
