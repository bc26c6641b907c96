/* log.h - lines for the administrator: on stderr (which web servers and systemd collect), to
 * syslog(3), or to the journal.
 *
 * One line an event, `key=value` after a word or two; control characters, quotes and bytes that
 * are not ASCII in values from outside are escaped by log_quote, so that a line stays a line and
 * shows what it is, whatever somebody calls himself. */
#ifndef ROWCAST_BASE_LOG_H
#define ROWCAST_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG, LOG_SINK_JOURNAL };

/* A longer line is cut, never within an escape, and ends in "...". */
#define LOG_LINE_MAX 1024

struct log {
    enum log_level level; /* lines above it are dropped */
    enum log_sink to;
    int fd;       /* LOG_SINK_STDERR: where they go */
    bool journal; /* stderr is the journal: lines begin with <N> (sd-daemon(3)) */
};

/* To stderr. */
void log_init(struct log *log, enum log_level level);

/* The same, to where the options say. Opens what is to be opened, before the process is confined. A
 * line that the journal does not take goes to stderr, and all do when there is no journal. */
void log_open(struct log *log, enum log_level level, enum log_sink to);

void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes text, escaped and in double quotes where it needs them, to out (cut to size - 1
 * bytes, at least 8) and returns out. NULL becomes "-", and a ticket in the text "[ticket]": a
 * signed JSON Web Token, wherever somebody has put one. */
const char *log_quote(char *out, unsigned long size, const char *text);

/* The same for a list, with commas between (a comma of an item's own is escaped). *more: how many
 * of the items, from the last one back, found no room. No items: "". */
struct log_list {
    const char *const *items;
    size_t count;
};
const char *log_quote_list(char *out, unsigned long size, struct log_list list,
                           size_t *more);

#endif
