/* revocations.h - who was thrown out, and since when: what tickets and streams are judged by.
 *
 * people/revocation_log.c fills it from the table rowcast_revocation; access/access.c asks it
 * for each ticket. Memory only, on the loop's thread. */
#ifndef ROWCAST_ACCESS_REVOCATIONS_H
#define ROWCAST_ACCESS_REVOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct revocations;

/* Empty. NULL with *error: out of memory, or no random key. */
struct revocations *revocations_new(struct error *error);
void revocations_free(struct revocations *revocations); /* NULL is fine */

/* The user's tickets that were issued before that time (Unix milliseconds) are refused; of several
 * times the latest counts. seen_ms: when we learn it. A login of the web server's is over if it
 * began before both, so that a time to come does not shut out users who log in again. Returns 0, or
 * -1 when out of memory. */
int revocations_add(struct revocations *revocations, struct slice user, int64_t before_ms,
                    int64_t seen_ms);

/* Where a user's name comes from decides what a revocation ends. */
enum revocations_proof {
    REVOCATIONS_TICKET, /* since_ms: its iat; 0: it has none */
    REVOCATIONS_LOGIN   /* since_ms: when the request came */
};

/* Whether the user was thrown out after that time. NULL revocations, NULL user: no. */
bool revocations_have(const struct revocations *revocations, const char *user,
                      enum revocations_proof proof, int64_t since_ms);

#endif
