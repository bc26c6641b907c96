/* process.c - who serves the database, and with how many descriptors?
 *
 * Called by doctor/db.c. The limit of doctor's own shell says nothing of the responder's; /proc has
 * that one (proc(5)). Only root can look at the processes of other users. */
#include "config.h"

#include "doctor/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_PATH_MAX 64
#define BLOCK_MAX 16384 /* of arguments or environment; what is behind is not seen */

/* The first bytes of a file in /proc/PID, ended by NUL; -1 when it cannot be read. */
static ssize_t
read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[PROC_PATH_MAX];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return -1;
    ssize_t len = read(fd, out, size - 1);
    close(fd);
    if (len >= 0)
        out[len] = '\0';
    return len;
}

/* Its arguments are those of a responder: "rowcast serve ..." or "rowcast.cgi". */
static bool
is_responder(pid_t pid)
{
    char arguments[1024];
    ssize_t len = read_proc(pid, "cmdline", arguments, sizeof arguments);

    if (len <= 0)
        return false;
    const char *slash = strrchr(arguments, '/');
    const char *name = slash != NULL ? slash + 1 : arguments;
    if (strcmp(name, "rowcast.cgi") == 0)
        return true;
    const char *second = arguments + strlen(arguments) + 1;
    return strcmp(name, "rowcast") == 0 && second < arguments + len &&
           strcmp(second, "serve") == 0;
}

enum has_open { HAS_OPEN, HAS_NOT_OPEN, MAY_NOT_LOOK };

static enum has_open
has_open(pid_t pid, const struct stat *file)
{
    char path[PROC_PATH_MAX];
    struct dirent *entry;
    struct stat st;
    enum has_open result = HAS_NOT_OPEN;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return errno == EACCES ? MAY_NOT_LOOK : HAS_NOT_OPEN;
    while (result == HAS_NOT_OPEN && (entry = readdir(folder)) != NULL) {
        if (fstatat(dirfd(folder), entry->d_name, &st, 0) == 0 &&
            st.st_dev == file->st_dev && st.st_ino == file->st_ino)
            result = HAS_OPEN;
    }
    closedir(folder);
    return result;
}

/* From "Max open files            1024                 4096                 files". */
static int64_t
files_of(pid_t pid)
{
    static const char name[] = "Max open files";
    char limits[4096];

    if (read_proc(pid, "limits", limits, sizeof limits) < 0)
        return -1;
    const char *line = strstr(limits, name);
    if (line == NULL)
        return -1;
    const char *number = line + strlen(name) + strspn(line + strlen(name), " ");
    if (!isdigit((unsigned char)*number))
        return -1; /* "unlimited" */
    return strtoll(number, NULL, 10);
}

static void
add(struct serving *serving, pid_t pid)
{
    char path[PROC_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    if (serving->count == SERVERS_MAX || stat(path, &st) != 0)
        return;
    serving->processes[serving->count].pid = pid;
    serving->processes[serving->count].uid = st.st_uid;
    serving->processes[serving->count].files = files_of(pid);
    serving->count++;
}

void
doctor_find_serving(const char *path, struct serving *serving)
{
    struct stat file;
    struct dirent *entry;
    DIR *folder = opendir("/proc");

    serving->count = 0;
    serving->is_partial = false;
    if (folder == NULL)
        return;
    bool is_there = stat(path, &file) == 0;
    while (is_there && (entry = readdir(folder)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || !is_responder(pid))
            continue;
        switch (has_open(pid, &file)) {
        case HAS_OPEN:
            add(serving, pid);
            break;
        case MAY_NOT_LOOK:
            serving->is_partial = true;
            break;
        case HAS_NOT_OPEN:
            break;
        }
    }
    closedir(folder);
}

/* The text behind NAME= or behind the argument NAME in a block of texts that end in NUL; NULL:
 * it is not there. */
static const char *
find_setting(const char *block, size_t len, const char *name)
{
    size_t name_len = strlen(name);

    for (const char *text = block; text < block + len; text += strlen(text) + 1) {
        if (strncmp(text, name, name_len) != 0)
            continue;
        if (text[name_len] == '=')
            return text + name_len + 1;
        const char *next = text + name_len + 1;
        if (text[name_len] == '\0' && next < block + len)
            return next;
    }
    return NULL;
}

static int64_t
max_streams_of(pid_t pid)
{
    static const char *const places[][2] = {{"cmdline", "--max-streams"},
                                            {"environ", "ROWCAST_MAX_STREAMS"}};
    char block[BLOCK_MAX];

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        ssize_t len = read_proc(pid, places[i][0], block, sizeof block);
        const char *value = len > 0 ? find_setting(block, (size_t)len, places[i][1]) : NULL;
        if (value != NULL)
            return strtoll(value, NULL, 10);
    }
    return 0;
}

/* The option stands alone, with =1, or in the environment. */
static bool
is_read_only(pid_t pid)
{
    static const char *const places[][2] = {{"cmdline", "--read-only"},
                                            {"environ", "ROWCAST_READ_ONLY=1"}};
    char block[BLOCK_MAX];

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        ssize_t len = read_proc(pid, places[i][0], block, sizeof block);
        for (const char *text = block; len > 0 && text < block + len;
             text += strlen(text) + 1)
            if (strcmp(text, places[i][1]) == 0 || strcmp(text, "--read-only=1") == 0)
                return true;
    }
    return false;
}

bool
doctor_is_served_read_only(const struct serving *serving)
{
    for (size_t i = 0; i < serving->count; i++)
        if (is_read_only(serving->processes[i].pid))
            return true;
    return false;
}

int64_t
doctor_max_streams(const struct serving *serving)
{
    int64_t lowest = 0;

    for (size_t i = 0; i < serving->count; i++) {
        int64_t max = max_streams_of(serving->processes[i].pid);
        if (max > 0 && (lowest == 0 || max < lowest))
            lowest = max;
    }
    return lowest;
}

const char *
doctor_process_name(pid_t pid, char out[PROCESS_NAME_MAX])
{
    ssize_t len = pid > 0 ? read_proc(pid, "comm", out, PROCESS_NAME_MAX) : -1;

    if (len <= 0)
        snprintf(out, PROCESS_NAME_MAX, "?");
    else
        out[strcspn(out, "\n")] = '\0';
    return out;
}
