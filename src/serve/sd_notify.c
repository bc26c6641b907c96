/* sd_notify.c - the service manager's readiness and watchdog; see serve/sd_notify.h.
 *
 * serve/serve.c calls it, and with several workers serve/workers.c, whose process is then the
 * service's main one: only that one's words count (NotifyAccess=main). */
#include "config.h"

#include "serve/sd_notify.h"

#ifdef HAVE_SYSTEMD

#include <systemd/sd-daemon.h>

/* Half of what is allowed, as sd_watchdog_enabled(3) recommends; in milliseconds. */
#define HALF_MS (2 * 1000)

void
notify_ready(const char *table, const char *db)
{
    sd_notifyf(0, "READY=1\nSTATUS=Serves table %s of %s", table, db);
}

void
notify_following(const char *table, const char *db)
{
    sd_notifyf(0, "READY=1\nSTATUS=Follows into table %s of %s", table, db);
}

void
notify_stopping(size_t streams)
{
    sd_notifyf(0, "STOPPING=1\nSTATUS=Ending %zu streams, which come back", streams);
}

uint64_t
notify_interval_ms(void)
{
    uint64_t usec;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return 0;
    return usec < HALF_MS ? 1 : usec / HALF_MS;
}

void
notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

#else

void
notify_ready(const char *table, const char *db)
{
    (void)table;
    (void)db;
}

void
notify_following(const char *table, const char *db)
{
    (void)table;
    (void)db;
}

void
notify_stopping(size_t streams)
{
    (void)streams;
}

uint64_t
notify_interval_ms(void)
{
    return 0;
}

void
notify_alive(void)
{
}

#endif
