/* workers.h - several processes that share the listening sockets, and nothing else.
 *
 * The parent only watches: a worker that dies is started again, its readers come back with
 * Last-Event-ID. In common they have a page of counters, for reports, and the limits. */
#ifndef ROWCAST_SERVE_WORKERS_H
#define ROWCAST_SERVE_WORKERS_H

#include "fastcgi/listen.h"
#include "serve/serve.h"

#define WORKERS_MAX 64

/* Serves with settings->workers processes (1: this one). Returns 0 after SIGTERM or SIGINT and the
 * end of all workers, or -1 with *error. */
int workers_run(const struct serve_settings *settings, const struct listeners *listeners,
                struct error *error);

#endif
