/* logto.c - syslog(3), and whether there is a journal. */
#include "config.h"

#include "logto.h"

#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* systemd's native protocol */

int
logto_priority(int level)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    return priorities[level];
}

void
logto_syslog_open(void)
{
    tzset();
    openlog("rowcast", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void
logto_syslog(int priority, const char *line)
{
    syslog(priority, "%s", line);
}

bool
logto_has_journal(void)
{
#ifdef HAVE_SYSTEMD
    return true;
#else
    return false;
#endif
}

bool
logto_finds_journal(void)
{
    return logto_has_journal() && access(JOURNAL_SOCKET, F_OK) == 0;
}
