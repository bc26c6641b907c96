/* sd_notify.h - what the service manager learns: sd_notify(3), sd_watchdog_enabled(3).
 *
 * Without libsystemd, or outside a service, each of these does nothing. None of them blocks for
 * longer than a datagram to a local socket takes. */
#ifndef ROWCAST_SERVE_SD_NOTIFY_H
#define ROWCAST_SERVE_SD_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

/* Requests are answered from now on (READY=1), of this table of this database. */
void notify_ready(const char *table, const char *db);

/* The same of `rowcast follow`: it writes into that table. */
void notify_following(const char *table, const char *db);

/* Asked to end; so many streams are to come back (STOPPING=1). */
void notify_stopping(size_t streams);

/* How often notify_alive is to be called, in milliseconds: half of WatchdogSec=. 0: never, also in
 * a child of the process that the service manager started (WATCHDOG_PID). */
uint64_t notify_interval_ms(void);

/* WATCHDOG=1. */
void notify_alive(void);

#endif
