/* log_sink.h - where log lines go: a descriptor, syslog(3)'s socket, the journal's socket.
 * Apart from base/log.h because <syslog.h> has macros of our levels' names. Lines have no line
 * end.
 *
 * Nothing here waits. What cannot be taken at once is refused, and base/log.c counts it. */
#ifndef ROWCAST_BASE_LOG_SINK_H
#define ROWCAST_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Of one line; the longest, "close", has 11. */
#define LOG_SINK_FIELDS_MAX 16
#define LOG_SINK_LINE_MAX 1024 /* LOG_LINE_MAX */

/* The syslog(3) priority for an enum log_level. */
int log_sink_priority(int level);

/* --- a descriptor ------------------------------------------------------------------------ */

enum log_sink_kind {
    LOG_SINK_OUT_FILE, /* a regular file or a device such as /dev/null: written as it is */
    LOG_SINK_OUT_PIPE,
    LOG_SINK_OUT_TERMINAL,
    LOG_SINK_OUT_SOCKET
};

struct log_sink_out {
    int fd;
    enum log_sink_kind kind;
    char *path; /* of a regular file, where it was found; NULL: not known */
};

/* Lines go to this descriptor, which stays its owner's. For a short time: where it lies is not
 * looked for. */
void log_sink_out_init(struct log_sink_out *out, int fd);

/* The same for long: a file is found again when it is renamed, and of a pipe or a terminal, which
 * others write to as well and which may be full, a description of our own is opened, which is
 * never waited for, where the system gives one. */
void log_sink_out_share(struct log_sink_out *out, int fd);

/* Appends to the file, which is made with mode 0640. Returns 0, or -1 with *error. */
int log_sink_out_open(struct log_sink_out *out, const char *path, struct error *error);

/* When the path no longer leads to the file (logrotate(8) has renamed it), opens what is there,
 * or makes it. Returns 0 too when nothing had to be done, or -1 with *error: lines then continue
 * to go to the old file. */
int log_sink_out_follow(const struct log_sink_out *out, struct error *error);

/* Returns 0, or -1: it was not taken. */
int log_sink_write(const struct log_sink_out *out, const char *line, size_t len);

void log_sink_out_fini(struct log_sink_out *out);

/* --- the system's logs ------------------------------------------------------------------- */

/* A socket for both, or -1. It is not connected: a log daemon may restart. */
int log_sink_socket(void);

/* Reads what the C library wants of the time zone: no file is opened later. */
void log_sink_read_zone(void);

enum log_sink_result {
    LOG_SINK_TAKEN,
    LOG_SINK_FULL, /* the daemon is there, but does not take it now */
    LOG_SINK_GONE  /* there is none */
};

enum log_sink_result log_sink_syslog(int sock, int priority, const char *line);

bool log_sink_finds_journal(void);
/* With MESSAGE, PRIORITY and SYSLOG_IDENTIFIER, and ROWCAST_KEY for each field of the line. */
enum log_sink_result log_sink_journal(int sock, int priority, const char *line);

/* Sends one datagram to the socket of that path. */
enum log_sink_result log_sink_send(int sock, const char *path, const char *text,
                                   size_t len);

/* Whether the descriptor is the stream to the journal that systemd has announced: JOURNAL_STREAM is
 * passed on to every child, whatever its stderr is (systemd.exec(5)). */
bool log_sink_is_journal(int fd);

/* Parts of the line. */
struct log_sink_field {
    const char *key;
    size_t key_len;
    const char *value; /* without the quotes, else as in the line: escaped */
    size_t value_len;
};

/* The pairs key=value that follow the line's first words, of lower-case letters, without a gap.
 * What comes after them is prose, perhaps a stranger's, and is no field whatever it looks like.
 * Returns how many there are, at most LOG_SINK_FIELDS_MAX. */
size_t log_sink_fields(const char *line, struct log_sink_field fields[LOG_SINK_FIELDS_MAX]);

#endif
