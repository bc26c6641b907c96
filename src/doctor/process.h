/* process.h - the processes that serve a database just now, from /proc. */
#ifndef ROWCAST_DOCTOR_PROCESS_H
#define ROWCAST_DOCTOR_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVERS_MAX 64

struct serving {
    struct {
        pid_t pid;
        uid_t uid;
        int64_t files; /* how many descriptors it may have open; -1: not known */
    } processes[SERVERS_MAX];
    size_t count;
    bool is_partial; /* there are processes that this user may not look at */
};

/* Finds the `rowcast serve` processes (and rowcast.cgi) that have the file open. Where there is
 * no /proc it finds none. Opens nothing but /proc. */
void doctor_find_serving(const char *path, struct serving *serving);

/* The lowest --max-streams of those processes, from their arguments or environment; 0: none is
 * seen. */
int64_t doctor_max_streams(const struct serving *serving);

/* Whether one of them was started with --read-only. */
bool doctor_is_served_read_only(const struct serving *serving);

/* The name of a process for a person, "sqlite3", to out; "?" when it cannot be seen. Returns
 * out. */
#define PROCESS_NAME_MAX 32
const char *doctor_process_name(pid_t pid, char out[PROCESS_NAME_MAX]);

#endif
