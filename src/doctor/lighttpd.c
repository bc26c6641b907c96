/* lighttpd.c - lighttpd's limits, and how it streams, from its own reading of its
 * configuration.
 *
 * Called by cmd/doctor.c for --lighttpd-config. From outside stream-response-body = 1 looks like
 * 2 until a slow page has filled the disk, and a limit is seen only by whoever is over it. lighttpd
 * itself prints what it made of includes, variables and conditions: "key = value" lines, in
 * blocks of "condition {". */
#include "config.h"

#include "doctor/lighttpd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/parse_number.h"

/* lighttpd's own (1.4.69): server.max-fds, and connections as a part of it. */
#define DEFAULT_FDS 4096
#define FDS_FOR_A_CONNECTION 3
#define FDS_FOR_A_STREAM 2 /* the page's and rowcast's */

#define LINE_LEN_MAX 256
#define DEPTH_MAX 16
#define OUTPUT_MAX ((size_t)4 << 20)

struct settings {
    int64_t fds, connections;    /* 0: not set */
    int blocks[3];               /* how often stream-response-body is 0, 1 or 2 */
    char spooling[LINE_LEN_MAX]; /* the condition of the block with 1 */
};

static bool
take_number(const char *line, const char *key, int64_t *value)
{
    size_t len = strlen(key);

    if (strncmp(line, key, len) != 0)
        return false;
    const char *p = line + len + strspn(line + len, " ");
    if (*p != '=')
        return false;
    p++;
    return parse_count(p + strspn(p, " "), 0, INT32_MAX, value) == 0;
}

struct place {
    char conditions[DEPTH_MAX][LINE_LEN_MAX];
    size_t depth;
};

static void
take_line(struct settings *settings, struct place *place, char *line)
{
    size_t len = strlen(line);
    int64_t value;

    if (len > 0 && line[len - 1] == '{') {
        if (place->depth < DEPTH_MAX)
            snprintf(place->conditions[place->depth], LINE_LEN_MAX, "%.*s", (int)len - 1,
                     line);
        place->depth++;
    } else if (line[0] == '}') {
        place->depth -= place->depth > 0;
    } else if (take_number(line, "server.stream-response-body", &value) && value <= 2) {
        settings->blocks[value]++;
        if (value == 1 && place->depth > 0 && place->depth <= DEPTH_MAX)
            memcpy(settings->spooling, place->conditions[place->depth - 1], LINE_LEN_MAX);
    } else if (place->depth <= 1) {
        take_number(line, "server.max-fds", &settings->fds);
        take_number(line, "server.max-connections", &settings->connections);
    }
}

static void
read_settings(struct slice text, struct settings *settings)
{
    struct place place = {.depth = 0};

    *settings = (struct settings){0};
    while (text.len > 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
        size_t indent = 0;
        char line[LINE_LEN_MAX];
        while (indent < len && text.p[indent] == ' ')
            indent++;
        snprintf(line, sizeof line, "%.*s", (int)(len - indent), text.p + indent);
        take_line(settings, &place, line);
        text.p += len + (end != NULL);
        text.len -= len + (end != NULL);
    }
}

static void
judge_streaming(const struct settings *settings, struct doctor_report *report)
{
    static const char remedy[] =
        "In the block of this path: server.stream-response-body = 2";

    if (settings->blocks[1] > 0)
        doctor_find(
            report, (struct doctor_head){"spooling", DOCTOR_WARNING, remedy},
            "server.stream-response-body = 1 (in: %s) spools what a slow page has not "
            "read to temporary files without bound",
            settings->spooling);
    else if (settings->blocks[2] == 0)
        doctor_find(
            report, (struct doctor_head){"spooling", DOCTOR_PROBLEM, remedy},
            "server.stream-response-body is not 2 anywhere: lighttpd keeps a stream back "
            "until its end");
    else
        doctor_find(report, (struct doctor_head){"spooling", DOCTOR_OK, NULL},
                    "server.stream-response-body = 2");
}

void
doctor_judge_lighttpd_text(struct slice text, int64_t streams, struct doctor_report *report)
{
    struct settings settings;

    read_settings(text, &settings);
    judge_streaming(&settings, report);

    int64_t fds = settings.fds > 0 ? settings.fds : DEFAULT_FDS;
    int64_t connections =
        settings.connections > 0 ? settings.connections : fds / FDS_FOR_A_CONNECTION;
    int64_t most = fds / FDS_FOR_A_STREAM;
    if (connections < most)
        most = connections;
    struct doctor_head head = {"connections", DOCTOR_OK, NULL};
    if (most < streams) {
        head.level = DOCTOR_WARNING;
        head.remedy =
            "server.max-fds = 16384 and server.max-connections = 8000, as in "
            "lighttpd/rowcast.conf;\n--streams N says how many pages there may be.";
    }
    doctor_find(report, head,
                "lighttpd takes %lld open pages at the most (server.max-fds %lld%s, "
                "server.max-connections %lld%s); %lld are wanted",
                (long long)most, (long long)fds, settings.fds > 0 ? "" : ", its default",
                (long long)connections, settings.connections > 0 ? "" : ", its default",
                (long long)streams);
}

/* --- asking lighttpd ------------------------------------------------------------------------------ */

/* The child: both of its outputs to the pipe. */
static void
become_lighttpd(const char *file, int out)
{
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execlp("lighttpd", "lighttpd", "-p", "-f", file, (char *)NULL);
    execl("/usr/sbin/lighttpd", "lighttpd", "-p", "-f", file, (char *)NULL);
    dprintf(STDERR_FILENO, "lighttpd: %s\n", strerror(errno));
    _exit(127);
}

static void
read_all(int fd, struct buf *text)
{
    for (;;) {
        char *room = buf_reserve(text, 4096);
        if (room == NULL || text->len > OUTPUT_MAX)
            return;
        ssize_t len = read(fd, room, 4096);
        if (len == -1 && errno == EINTR)
            continue;
        if (len <= 0)
            return;
        text->len += (size_t)len;
    }
}

/* Exit status of lighttpd, -1 when it could not be run. */
static int
run_lighttpd(const char *file, struct buf *text)
{
    int ends[2], status;

    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become_lighttpd(file, ends[1]);
    }
    close(ends[1]);
    if (pid > 0)
        read_all(ends[0], text);
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

void
doctor_judge_lighttpd(const char *file, int64_t streams, struct doctor_report *report)
{
    struct buf text = {0};

    if (run_lighttpd(file, &text) == 0 && !text.failed)
        doctor_judge_lighttpd_text(buf_slice(&text), streams, report);
    else
        doctor_find(report,
                    (struct doctor_head){
                        "connections", DOCTOR_PROBLEM,
                        "Try `lighttpd -tt -f FILE` with the same file, as the same "
                        "user."},
                    "lighttpd cannot read %s: %.*s", file,
                    text.len < 300 ? (int)text.len : 300, buf_slice(&text).p);
    buf_fini(&text);
}
