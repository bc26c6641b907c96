/* revocation_log.h - follows the table rowcast_revocation, and ends the streams of those who were
 * thrown out.
 *
 * serve/serve.c makes it. It has no clock of its own: it reads when the feed has found that
 * something was committed, at most ten times a second. */
#ifndef ROWCAST_PEOPLE_REVOCATION_LOG_H
#define ROWCAST_PEOPLE_REVOCATION_LOG_H

#include <uv.h>

#include "access/revocations.h"
#include "feed/feed.h"
#include "hub/hub.h"

struct revocation_log;

/* Reads the whole log at once, and waits some seconds for a lock: no reader is let in before what
 * is revoked is known. feed and hub must outlive it. NULL with *error. */
struct revocation_log *revocation_log_new(uv_loop_t *loop, struct feed *feed,
                                          struct hub *hub, struct error *error);

/* What is known; NULL for NULL. */
const struct revocations *revocation_log_known(const struct revocation_log *log);

void revocation_log_free(struct revocation_log *log); /* NULL is fine */

#endif
