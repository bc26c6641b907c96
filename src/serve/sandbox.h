/* sandbox.h - takes from the process what it will not need any more: where the kernel has
 * Landlock, the file system except for some folders, TCP, and signals to others; everywhere on
 * Linux the way to more rights (setuid programs).
 *
 * A second wall behind the permissions of a user of its own: an attacker who takes the process
 * over cannot read the rest of the disk. Connecting to Unix sockets stays possible (syslog,
 * NOTIFY_SOCKET). */
#ifndef ROWCAST_SERVE_SANDBOX_H
#define ROWCAST_SERVE_SANDBOX_H

#include <stddef.h>

#include "base/error.h"

enum sandbox_access {
    SANDBOX_WRITE_BESIDE, /* everything with files in the path's folder, and behind links to it */
    SANDBOX_APPEND_BESIDE, /* making files there, and writing to them */
    SANDBOX_READ_BESIDE,   /* reading there */
    SANDBOX_REMOVE_BESIDE, /* removing files there */
    SANDBOX_READ           /* reading this file or folder */
};

struct sandbox_rule {
    const char *path; /* NULL or not there: the rule is left out */
    enum sandbox_access access;
};

/* Only the calling thread and those that it starts from now on are confined: call it before there
 * are others, and after everything else is open. Returns the version of Landlock that is in force,
 * 0 when the kernel has none, or -1 with *error; the process then continues as it was. */
int sandbox_enter(const struct sandbox_rule *rules, size_t count, struct error *error);

/* Refuses system calls that a responder does not make once it runs (seccomp.c). After
 * sandbox_enter, which sets no_new_privs. The same threads. Returns 1, 0 when the kernel or
 * this architecture has it not, or -1 with *error; the process then continues without. */
int sandbox_filter_calls(struct error *error);

#endif
