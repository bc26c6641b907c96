/* log_sink.h - the system's own logs, apart from base/log.h because <syslog.h> has macros of our levels'
 * names. Lines have no line end. */
#ifndef ROWCAST_BASE_LOG_SINK_H
#define ROWCAST_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Of one line; the longest, "close", has 11. */
#define LOG_SINK_FIELDS_MAX 16
#define LOG_SINK_LINE_MAX 1024 /* LOG_LINE_MAX */

/* The syslog(3) priority for an enum log_level. */
int log_sink_priority(int level);

/* Connects, and reads what the C library wants of the time zone: no file is opened later. */
void log_sink_syslog_open(void);
void log_sink_syslog(int priority, const char *line);

bool log_sink_has_journal(void);   /* this build can write to the journal */
bool log_sink_finds_journal(void); /* and there is one: libsystemd says nothing if not */
/* With MESSAGE, PRIORITY and SYSLOG_IDENTIFIER, and ROWCAST_KEY for each field of the line. Returns 0,
 * or -1 when the journal does not take it. */
int log_sink_journal(int priority, const char *line);

/* Parts of the line. */
struct log_sink_field {
    const char *key;
    size_t key_len;
    const char *value; /* without the quotes, else as in the line: escaped */
    size_t value_len;
};

/* The pairs key=value that follow the line's first words, of lower-case letters, without a gap.
 * What comes after them is prose, perhaps somebody else's, and is no field whatever it looks like.
 * Returns how many there are, at most LOG_SINK_FIELDS_MAX. */
size_t log_sink_fields(const char *line, struct log_sink_field fields[LOG_SINK_FIELDS_MAX]);

#endif
