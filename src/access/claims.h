/* claims.h - the claims of a ticket, from JSON and to JSON. */
#ifndef ROWCAST_ACCESS_CLAIMS_H
#define ROWCAST_ACCESS_CLAIMS_H

#include "access/ticket.h"

struct json_t; /* jansson's */

/* Reads sub, channels, publish, exp, nbf and iat. Returns 0, or the status of the refusal with
 * *error: 401 and which claim is not what it should be, 503 when out of memory. What was taken
 * until then is the ticket's. */
int ticket_claims_read(struct ticket *ticket, const struct json_t *claims,
                       struct error *error);

/* Is the ticket for us? RFC 7519 section 4.1.3: one with an `aud` that does not name us must be
 * refused, so where we have no name (NULL) every `aud` is. Returns 0, or -1 with *error. */
int ticket_claims_check_audience(const struct json_t *claims, const char *audience,
                                 struct error *error);

/* The claims as JSON, for the caller to free; NULL when out of memory or when sub or audience is
 * not UTF-8. */
char *ticket_claims_write(const struct ticket *ticket, const char *audience);

#endif
