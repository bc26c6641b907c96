/* log_sink.h - where log lines go: a descriptor, syslog(3)'s socket, the journal's socket.
 * It is not part of base/log.h because <syslog.h> has macros with the names of our levels. Lines
 * have no line end.
 *
 * Nothing here waits. A sink that cannot take a line at once refuses it, and base/log.c counts
 * it. */
#ifndef ROWCAST_BASE_LOG_SINK_H
#define ROWCAST_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* In one line; the longest, "close", has 12 with suppressed=. */
#define LOG_SINK_FIELDS_MAX 16
#define LOG_SINK_LINE_MAX 1024 /* LOG_LINE_MAX */

/* The syslog(3) priority for an enum log_level. */
int log_sink_priority(int level);

/* --- a descriptor ------------------------------------------------------------------------ */

enum log_sink_kind {
    LOG_SINK_OUT_FILE, /* a regular file or a device such as /dev/null */
    LOG_SINK_OUT_PIPE,
    LOG_SINK_OUT_TERMINAL,
    LOG_SINK_OUT_SOCKET
};

struct log_sink_out {
    int fd;
    enum log_sink_kind kind;
    char *path; /* of a regular file when it was opened; NULL: not known */
};

/* Lines go to this descriptor, which its owner closes. For short use: it does not look for the
 * file's path. */
void log_sink_out_init(struct log_sink_out *out, int fd);

/* The same for long use. It notes a file's path, so that log_sink_out_follow can open the file
 * again after it was renamed. A pipe or a terminal, which may be full, it opens once more,
 * nonblocking, if the system allows that: the flag of the shared descriptor must stay as it is. */
void log_sink_out_share(struct log_sink_out *out, int fd);

/* Opens the file to append, or creates it with mode 0640. Returns 0, or -1 with *error. */
int log_sink_out_open(struct log_sink_out *out, const char *path, struct error *error);

/* When the path no longer leads to the open file (logrotate(8) has renamed it), opens the file at
 * the path, or creates it. Returns 0, also when it had nothing to do, or -1 with *error: then lines
 * still go to the old file. */
int log_sink_out_follow(const struct log_sink_out *out, struct error *error);

/* Returns 0, or -1 when the descriptor did not take the line. */
int log_sink_write(const struct log_sink_out *out, const char *line, size_t len);

void log_sink_out_fini(struct log_sink_out *out);

/* --- the system's logs ------------------------------------------------------------------- */

/* A socket for syslog or the journal, or -1. It is not connected: a log daemon may restart. */
int log_sink_socket(void);

/* Lets the C library read the time zone now, as the sandbox forbids to open files later. */
void log_sink_read_zone(void);

enum log_sink_result {
    LOG_SINK_TAKEN,
    LOG_SINK_FULL, /* the daemon runs, but does not take the line now */
    LOG_SINK_GONE  /* no daemon runs */
};

enum log_sink_result log_sink_syslog(int sock, int priority, const char *line);

bool log_sink_finds_journal(void);
/* Sends MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, and ROWCAST_KEY for each field of the line. */
enum log_sink_result log_sink_journal(int sock, int priority, const char *line);

/* Sends one datagram to the socket of that path. */
enum log_sink_result log_sink_send(int sock, const char *path, const char *text,
                                   size_t len);

/* Whether the descriptor is the stream to the journal that JOURNAL_STREAM names. The variable alone
 * proves nothing: every child inherits it, whatever its stderr is (systemd.exec(5)). */
bool log_sink_is_journal(int fd);

/* Pointers into the line. */
struct log_sink_field {
    const char *key;
    size_t key_len;
    const char *value; /* without the quotes, escaped as in the line */
    size_t value_len;
};

/* Finds the pairs key=value directly behind the line's first words (lower-case letters). Text
 * behind the pairs may come from outside and makes no field, even if it looks like a pair.
 * Returns how many pairs it found, at most LOG_SINK_FIELDS_MAX. */
size_t log_sink_fields(const char *line, struct log_sink_field fields[LOG_SINK_FIELDS_MAX]);

#endif
