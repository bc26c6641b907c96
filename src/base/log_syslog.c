/* log_syslog.c - sends a line to the daemon of syslog(3), and datagrams for log_journal.c.
 *
 * This file does not use the C library's syslog(3), which waits while the daemon does not read. The
 * form of the line is the C library's (RFC 3164 section 4.1, without the host's name). */
#include "config.h"

#include "base/log_sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define SYSLOG_SOCKET "/dev/log"

int
log_sink_priority(int level)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    return priorities[level];
}

int
log_sink_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void
log_sink_read_zone(void)
{
    tzset();
}

enum log_sink_result
log_sink_send(int sock, const char *path, const char *text, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, path, strlen(path) + 1);
    if (sendto(sock, text, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
               sizeof to) >= 0)
        return LOG_SINK_TAKEN;
    return errno == EAGAIN || errno == ENOBUFS ? LOG_SINK_FULL : LOG_SINK_GONE;
}

enum log_sink_result
log_sink_syslog(int sock, int priority, const char *line)
{
    char text[LOG_SINK_LINE_MAX + 64];
    char when[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm) != NULL)
        strftime(when, sizeof when, "%b %e %T ", &tm);
    int len = snprintf(text, sizeof text, "<%d>%srowcast[%ld]: %s", LOG_DAEMON | priority,
                       when, (long)getpid(), line);
    return log_sink_send(sock, SYSLOG_SOCKET, text, (size_t)len);
}
