/* access.h - may this requester read what it asks for? rowcast-serve(8), "ACCESS". */
#ifndef ROWCAST_ACCESS_ACCESS_H
#define ROWCAST_ACCESS_ACCESS_H

#include "base/buf.h"
#include "base/error.h"
#include "http/request.h"
#include "access/keys.h"
#include "access/revocations.h"

struct access_rules {
    const struct ticket_keys *keys; /* of tickets; NULL: there are no tickets here */
    const char *ticket_audience;    /* NULL: none */
    bool require_ticket;
    const struct revocations *revocations; /* who was thrown out; NULL: no user can be */
};

/* Returns 0, or the HTTP status of the refusal (400, 401, 403; 503 when out of memory) with its
 * line in *error. now_ms is Unix time.
 *
 * For the stream resource, push and whoami, whatever the method, the ticket is looked for and
 * judged, and what it says is written into *request: the bound FILTER_BOUND_TICKET, the user,
 * expires_at_ms, ticket_publish. What is left of patterns is then judged row by row:
 * filter_matches asks every bound. Health needs nothing, status and metrics ROWCAST_ADMIN, and
 * no ticket is looked at. */
int access_check(struct request *request, const struct access_rules *rules, int64_t now_ms,
                 struct error *error);

/* Refuses an exact channel of request->filter.requested that lies outside the bounds: 0, or 403
 * with *error. access_check does so too; this is for channels that come in a body. */
int access_check_channels(const struct request *request, struct error *error);

/* Appends a JSON object and a line end: the user, by what its reading is bounded ("location":
 * the web server's ROWCAST_CHANNELS; "ticket"), and whether it may publish anything. Pure;
 * after access_check. */
void access_append_whoami(struct buf *buf, const struct request *request);

#endif
