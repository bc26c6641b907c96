/* log_sink.c - syslog(3), and whether there is a journal. */
#include "config.h"

#include "base/log_sink.h"

#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* systemd's native protocol */

int
log_sink_priority(int level)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    return priorities[level];
}

void
log_sink_syslog_open(void)
{
    tzset();
    openlog("rowcast", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void
log_sink_syslog(int priority, const char *line)
{
    syslog(priority, "%s", line);
}

bool
log_sink_has_journal(void)
{
#ifdef HAVE_SYSTEMD
    return true;
#else
    return false;
#endif
}

bool
log_sink_finds_journal(void)
{
    return log_sink_has_journal() && access(JOURNAL_SOCKET, F_OK) == 0;
}
