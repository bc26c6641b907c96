/* log.h - lines for the administrator, on stderr (which web servers and systemd collect).
 *
 * One line an event, `key=value` after a word or two; control characters, quotes and bytes that
 * are not ASCII in values from outside are escaped by log_quote. */
#ifndef ROWCAST_LOG_H
#define ROWCAST_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    enum log_level level; /* lines above it are dropped */
    int fd;               /* where they go */
    bool journal;         /* stderr is the journal: lines begin with <N> (sd-daemon(3)) */
};

void log_init(struct log *log, enum log_level level);
void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes text, escaped and in double quotes where it needs them, to out (cut to size - 1
 * bytes, at least 8) and returns out. NULL becomes "-". */
const char *log_quote(char *out, unsigned long size, const char *text);

#endif
