/* log.h - lines for the administrator: on stderr (which web servers and systemd collect), to
 * syslog(3), to the journal, or to a file.
 *
 * One line for each event: a word or two, then `key=value`. log_quote escapes control characters,
 * quotes and bytes that are not ASCII in values from outside. So no value can end a line or look
 * like another key.
 *
 * The program never waits for its log. A line that the sink does not take at once (a full pipe, a
 * daemon that does not read) is lost, and the next line that the sink takes says how many were. */
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

/* Lost lines, counted atomically for all processes and threads that share this. Zero at first. */
struct log_loss {
    uint64_t lines;
    uint64_t reported; /* how many of the lost lines a later line has reported */
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

/* Sets *to for "stderr", "syslog", "journal" or an absolute path. Returns 0, or -1 when the text is
 * none of these. */
int log_parse_to(const char *text, enum log_sink *to);

/* Lines go to stderr; opens nothing. For the time before log_open, and for short commands. */
void log_init(struct log *log, enum log_level level);

/* Lines go where the options say. Opens files and sockets, so it comes before the sandbox
 * (serve/sandbox.h). Without a journal, lines for it go to stderr. Returns 0, or -1 with *error;
 * then lines go to stderr. Call log_close in both cases. */
int log_open(struct log *log, const struct log_config *config, struct error *error);
void log_close(struct log *log);

/* Opens the log file again if it was renamed or removed: the file of --log-to, or the file that
 * stderr is. log_line does this too, but cannot report a failure. Returns 0, or -1 with *error. */
int log_reopen(const struct log *log, struct error *error);

void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes text, escaped and in double quotes where it needs them, to out and returns out. size is
 * at least 8; the result is cut to size - 1 bytes. NULL becomes "-". A ticket (a signed JSON Web
 * Token) anywhere in the text becomes "[ticket]". */
const char *log_quote(char *out, unsigned long size, const char *text);

/* The same for a list, with commas between the items; a comma within an item is escaped. Sets *more
 * to how many items at the end of the list found no room. An empty list becomes "" in quotes. */
struct log_list {
    const char *const *items;
    size_t count;
};
const char *log_quote_list(char *out, unsigned long size, struct log_list list,
                           size_t *more);

#endif
