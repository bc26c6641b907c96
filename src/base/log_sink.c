/* log_sink.c - writes a log line to a descriptor that may be full. Finds out whether the descriptor
 * is a file that may be rotated, or the journal.
 *
 * base/log.c calls it for each line, from the loop and from threads, so nothing here may wait. It
 * cannot set O_NONBLOCK on stderr: all processes that share stderr share the flag, and a shell or
 * a web server does not expect EAGAIN. */
#include "config.h"

#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_MODE 0640
#define OPEN_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* --- which kind -------------------------------------------------------------------------- */

static enum log_sink_kind
kind_of(int fd, const struct stat *st)
{
    if (S_ISSOCK(st->st_mode))
        return LOG_SINK_OUT_SOCKET;
    if (S_ISFIFO(st->st_mode))
        return LOG_SINK_OUT_PIPE;
    return S_ISCHR(st->st_mode) && isatty(fd) ? LOG_SINK_OUT_TERMINAL : LOG_SINK_OUT_FILE;
}

static bool
leads_to(const char *path, const struct stat *st)
{
    struct stat there;
    return stat(path, &there) == 0 && there.st_dev == st->st_dev &&
           there.st_ino == st->st_ino;
}

/* The path of an open file, from the kernel; NULL when no path leads to it. */
static char *
path_of(int fd, const struct stat *st)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || path[0] != '/')
        return NULL;
    path[len] = '\0';
    return leads_to(path, st) ? strdup(path) : NULL;
}

void
log_sink_out_init(struct log_sink_out *out, int fd)
{
    struct stat st;
    *out = (struct log_sink_out){.fd = fd};
    if (fstat(fd, &st) != 0)
        return;
    out->kind = kind_of(fd, &st);
}

void
log_sink_out_share(struct log_sink_out *out, int fd)
{
    char link[64];
    struct stat st;
    log_sink_out_init(out, fd);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        out->path = path_of(fd, &st);
    if (out->kind != LOG_SINK_OUT_PIPE && out->kind != LOG_SINK_OUT_TERMINAL)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = open(link, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0) /* else another user owns it, and log_sink_write uses the shared one */
        out->fd = own;
}

/* --- a file ------------------------------------------------------------------------------ */

/* Other users may be able to write in the folder: hence O_NOFOLLOW and the check of the type. */
static int
open_file(const char *path, struct error *error)
{
    struct stat st;
    int fd = open(path, OPEN_FLAGS, FILE_MODE);
    if (fd < 0)
        return error_set(error, "the log %s cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return error_set(error, "the log %s is not a regular file", path);
}

int
log_sink_out_open(struct log_sink_out *out, const char *path, struct error *error)
{
    *out = (struct log_sink_out){.fd = -1, .kind = LOG_SINK_OUT_FILE};
    int fd = open_file(path, error);
    if (fd < 0)
        return -1;
    out->path = strdup(path);
    if (out->path == NULL) {
        close(fd);
        return error_set(error, "out of memory");
    }
    out->fd = fd;
    return 0;
}

int
log_sink_out_follow(const struct log_sink_out *out, struct error *error)
{
    struct stat st;
    if (out->path == NULL || fstat(out->fd, &st) != 0 || leads_to(out->path, &st))
        return 0;
    int fd = open_file(out->path, error);
    if (fd < 0)
        return -1;
    /* Keeps the descriptor's number, which another thread may be about to write to. */
    int result = dup3(fd, out->fd, out->fd == STDERR_FILENO ? 0 : O_CLOEXEC);
    close(fd);
    return result < 0 ? error_set(error, "the log: %s", strerror(errno)) : 0;
}

/* --- writing ----------------------------------------------------------------------------- */

/* poll(2) reports a pipe as writable when it has room for PIPE_BUF bytes, which is more than a
 * line. Another process may take that room before we write. Then RWF_NOWAIT (for pipes since
 * Linux 6.5) or our own nonblocking description (log_sink_out_share) prevents waiting. */
static ssize_t
write_to_pipe(int fd, const char *line, size_t len)
{
    struct pollfd pipe = {.fd = fd, .events = POLLOUT};
    struct iovec part = {(char *)(uintptr_t)line, len};
    if (poll(&pipe, 1, 0) != 1 || (pipe.revents & POLLOUT) == 0)
        return -1;
    ssize_t written = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
    if (written < 0 && errno != EAGAIN)
        written = write(fd, line, len);
    return written;
}

int
log_sink_write(const struct log_sink_out *out, const char *line, size_t len)
{
    ssize_t written = -1;
    struct error ignored;
    switch (out->kind) {
    case LOG_SINK_OUT_FILE:
        log_sink_out_follow(out, &ignored);
        written = write(out->fd, line, len);
        break;
    case LOG_SINK_OUT_PIPE:
    case LOG_SINK_OUT_TERMINAL:
        written = write_to_pipe(out->fd, line, len);
        break;
    case LOG_SINK_OUT_SOCKET:
        written = send(out->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    }
    return written > 0 ? 0 : -1;
}

void
log_sink_out_fini(struct log_sink_out *out)
{
    if (out->fd > STDERR_FILENO)
        close(out->fd);
    free(out->path);
    *out = (struct log_sink_out){.fd = -1};
}

/* --- is it the journal? ------------------------------------------------------------------ */

bool
log_sink_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat st;
    char more;
    if (stream == NULL || sscanf(stream, "%ju:%ju%c", &device, &inode, &more) != 2)
        return false;
    return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}
