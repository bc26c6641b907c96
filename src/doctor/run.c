/* run.c - a web server reads its own configuration, and prints it.
 *
 * Called by doctor/lighttpd.c and doctor/apache.c: includes, variables and conditions are the
 * server's own business, so it is asked and its files are not read here. */
#include "config.h"

#include "doctor/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX ((size_t)4 << 20)
#define PIECE_BYTES 4096

/* The child: both of its outputs to the pipe. */
static void
become(const char *const *argv, int out)
{
    char path[64];

    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    snprintf(path, sizeof path, "/usr/sbin/%s",
             argv[0]); /* not in PATH of an ordinary user */
    execv(path, (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void
read_all(int fd, struct buf *text)
{
    for (;;) {
        char *room = buf_reserve(text, PIECE_BYTES);
        if (room == NULL || text->len > OUTPUT_MAX)
            return;
        ssize_t len = read(fd, room, PIECE_BYTES);
        if (len == -1 && errno == EINTR)
            continue;
        if (len <= 0)
            return;
        text->len += (size_t)len;
    }
}

int
doctor_run(const char *const *argv, struct buf *text)
{
    int ends[2], status;

    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become(argv, ends[1]);
    }
    close(ends[1]);
    if (pid > 0)
        read_all(ends[0], text);
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}
