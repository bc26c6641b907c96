/* site.h - a rowcast of the bench's own: temporary folder, new database, Unix socket. */
#ifndef ROWCAST_BENCH_SITE_H
#define ROWCAST_BENCH_SITE_H

#include <sys/types.h>

struct site {
    char folder[256];
    char db[300];
    char socket[300];
    pid_t pid; /* of rowcast serve; 0: none */
};

/* Makes the folder below `parent`, runs `rowcast init` and starts `rowcast serve` on the
 * socket (it may not listen yet when this returns). Ends the program with a message when it
 * cannot. */
void site_start(struct site *site, const char *rowcast, const char *parent);

/* Ends rowcast, waits for it and removes the folder. Safe to call twice. */
void site_stop(struct site *site);

/* True while rowcast serve has not ended. */
int site_is_up(struct site *site);

/* How often rowcast has gone to sleep so far: the voluntary context switches of all of its
 * threads. -1 when /proc does not tell. */
long site_wake_ups(const struct site *site);

/* Prints "bench: " and the message, ends the site, exits with 1. */
_Noreturn void site_fail(struct site *site, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
