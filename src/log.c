/* log.c - one write(2) for each line, so that lines of several processes do not mix. */
#include "config.h"

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

void
log_init(struct log *log, enum log_level level)
{
    log->level = level;
    log->fd = STDERR_FILENO;
    log->journal = getenv("JOURNAL_STREAM") != NULL;
}

void
log_line(const struct log *log, enum log_level level, const char *format, ...)
{
    /* syslog(3) priorities, as sd-daemon(3) wants them before a line. */
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7};

    if (level > log->level)
        return;

    char line[LOG_LINE_MAX];
    int len;
    if (log->journal)
        len = snprintf(line, sizeof line, "<%d>", priorities[level]);
    else
        len =
            snprintf(line, sizeof line, "rowcast[%ld]: %s: ", (long)getpid(), names[level]);

    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + len, sizeof line - (size_t)len - 1, format, args);
    va_end(args);
    if (more < 0)
        return;
    len += more;
    if (len > (int)sizeof line - 2)
        len = (int)sizeof line - 2;
    line[len++] = '\n';

    /* A full or closed stderr must not stop the program: the line is lost. */
    ssize_t written = write(log->fd, line, (size_t)len);
    (void)written;
}

const char *
log_quote(char *out, unsigned long size, const char *text)
{
    if (text == NULL) {
        memcpy(out, "-", 2);
        return out;
    }
    bool plain = *text != '\0';
    for (const char *p = text; *p != '\0' && plain; p++)
        plain = *p > ' ' && *p < 0x7f && *p != '"' && *p != '\\' && *p != '=';

    unsigned long n = 0;
    unsigned long room = size - (plain ? 1 : 2);
    if (!plain)
        out[n++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\') {
            if (n + 1 > room)
                break;
            out[n++] = (char)*p;
        } else {
            if (n + 4 > room)
                break;
            snprintf(out + n, 5, "\\x%02x", *p);
            n += 4;
        }
    }
    if (!plain)
        out[n++] = '"';
    out[n] = '\0';
    return out;
}
