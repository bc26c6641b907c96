/* log.h - lines for the administrator: on stderr (which web servers and systemd collect), to
 * syslog(3), to the journal, or to a file.
 *
 * One line an event, `key=value` after a word or two; control characters, quotes and bytes that
 * are not ASCII in values from outside are escaped by log_quote, so that a line stays a line and
 * shows what it is, whatever name a stranger takes.
 *
 * A log never holds the program up. What cannot be taken at once (a full pipe, a daemon that
 * does not read) is lost, and the next line that is taken says how many were. */
#ifndef ROWCAST_BASE_LOG_H
#define ROWCAST_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log_sink.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG, LOG_SINK_JOURNAL, LOG_SINK_FILE };

/* A longer line is cut, never within an escape, and ends in "...". */
#define LOG_LINE_MAX 1024

/* What was lost, counted for all processes and threads that share it (atomically). Zero at
 * first. */
struct log_loss {
    uint64_t lines;
    uint64_t reported; /* of them, by a line that was taken */
};

struct log {
    enum log_level level; /* lines above it are dropped */
    enum log_sink to;
    struct log_sink_out
        out;        /* LOG_SINK_STDERR, LOG_SINK_FILE, and when there is no journal */
    int sock;       /* LOG_SINK_SYSLOG, LOG_SINK_JOURNAL; -1 */
    bool journal;   /* stderr is the journal: lines begin with <N> (sd-daemon(3)) */
    bool has_times; /* lines begin with the time: no other program adds it */
    struct log_loss *loss; /* NULL: losses are not reported */
};

struct log_config {
    enum log_level level;
    enum log_sink to;
    const char *file;      /* LOG_SINK_FILE */
    struct log_loss *loss; /* must outlive the log */
};

/* Where "stderr", "syslog", "journal" or a path from the root sends lines. Returns 0, or -1: it is
 * nothing of that. */
int log_parse_to(const char *text, enum log_sink *to);

/* To stderr, for a short time: nothing is opened. */
void log_init(struct log *log, enum log_level level);

/* To where the options say. Opens what is to be opened, before the process is confined. A line for
 * which there is no journal goes to stderr. Returns 0, or -1 with *error; then lines go to stderr.
 * log_close in any case. */
int log_open(struct log *log, const struct log_config *config, struct error *error);
void log_close(struct log *log);

/* Opens the log file again if it was renamed or removed: its own, or the one that stderr is.
 * Each line looks, too; this one says what fails. Returns 0, or -1 with *error. */
int log_reopen(const struct log *log, struct error *error);

void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes text, escaped and in double quotes where it needs them, to out (cut to size - 1
 * bytes, at least 8) and returns out. NULL becomes "-", and a ticket in the text "[ticket]": a
 * signed JSON Web Token, wherever it stands. */
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
