/* logto.h - the system's own logs, apart from log.h because <syslog.h> has macros of our levels'
 * names. Lines have no line end. */
#ifndef ROWCAST_LOGTO_H
#define ROWCAST_LOGTO_H

#include <stdbool.h>

/* The syslog(3) priority for an enum log_level. */
int logto_priority(int level);

/* Connects, and reads what the C library wants of the time zone: no file is opened later. */
void logto_syslog_open(void);
void logto_syslog(int priority, const char *line);

bool logto_has_journal(void);   /* this build can write to the journal */
bool logto_finds_journal(void); /* and there is one: libsystemd says nothing if not */
/* Returns 0, or -1 when the journal does not take it. */
int logto_journal(int priority, const char *line);

#endif
