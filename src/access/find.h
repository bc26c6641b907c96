/* find.h - where in a request is its ticket? Pure. */
#ifndef ROWCAST_ACCESS_FIND_H
#define ROWCAST_ACCESS_FIND_H

#include "base/error.h"
#include "base/slice.h"

#define TICKET_COOKIE "rowcast_ticket"

/* The places, best first, as the client sent them; NULL: not there. */
struct ticket_places {
    const char *authorization; /* the header; of scheme Bearer, any other is not for us */
    const char *parameter;     /* ticket=, decoded */
    const char *cookie;        /* the header; the cookie TICKET_COOKIE */
};

/* Sets *ticket to the ticket of the best place that has one, within the places' text; to a NULL
 * slice where none has. A place that has a bad one is not passed over for the next: a client that
 * gave it meant it. Returns 0, or 400 with *error for two cookies that differ. */
int ticket_find(const struct ticket_places *places, struct slice *ticket,
                struct error *error);

#endif
