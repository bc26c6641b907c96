/* access.c - what the ticket grants, and refuses at once what can be seen to be refused. */
#include "config.h"

#include "access/access.h"

#include <string.h>

#include "event/glob.h"
#include "base/log.h"
#include "access/ticket.h"
#include "access/find.h"

#define USER_QUOTED_MAX 128

/* --- tickets ------------------------------------------------------------------------- */

/* The user: the ticket's, or the web server's. Both, and different: one of them is not meant. */
static int
take_user(struct request *request, struct ticket *ticket, struct error *error)
{
    char user[USER_QUOTED_MAX], sub[USER_QUOTED_MAX];
    if (ticket->sub == NULL)
        return 0;
    if (request->filter.user == NULL) {
        request->filter.user = ticket->sub;
        ticket->sub = NULL;
        return 0;
    }
    if (strcmp(request->filter.user, ticket->sub) == 0)
        return 0;
    error_set(error, "the ticket is for %s, but the web server says that this is %s",
              log_quote(sub, sizeof sub, ticket->sub),
              log_quote(user, sizeof user, request->filter.user));
    return 403;
}

/* A ticket without a time of issue may be as old as one likes. */
static int
check_revoked(const struct ticket *ticket, const struct revocations *revocations,
              struct error *error)
{
    if (!revocations_have(revocations, ticket->sub, REVOCATIONS_TICKET,
                          ticket->issued_at_ms))
        return 0;
    if (ticket->issued_at_ms == 0)
        error_set(error,
                  "the ticket is revoked: its user was thrown out, and it has no iat "
                  "to say that it is newer; get a new one");
    else
        error_set(error, "the ticket is revoked: its user was thrown out after it was "
                         "issued; get a new one");
    return 401;
}

static int
take_grants(struct request *request, struct ticket *ticket, struct error *error)
{
    struct filter *filter = &request->filter;
    filter->bounded[FILTER_BOUND_TICKET] = ticket->has_channels;
    filter->bounds[FILTER_BOUND_TICKET] = ticket->channels;
    ticket->channels = (struct patterns){0};
    request->has_ticket_publish = ticket->has_publish;
    request->ticket_publish = ticket->publish;
    ticket->publish = (struct patterns){0};
    request->expires_at_ms = ticket->expires_at_ms;
    request->by_ticket = ticket->sub != NULL;
    request->issued_at_ms = ticket->issued_at_ms;
    return take_user(request, ticket, error);
}

struct judging {
    struct ticket_rules tickets;
    const struct revocations *revocations;
};

static int
verify(struct request *request, const struct judging *judging, struct slice text,
       struct error *error)
{
    struct ticket ticket;
    int status = ticket_verify(&judging->tickets, text, &ticket, error);
    if (status == 0)
        status = check_revoked(&ticket, judging->revocations, error);
    if (status == 0)
        status = take_grants(request, &ticket, error);
    ticket_fini(&ticket);
    return status;
}

static int
check_ticket(struct request *request, const struct access_rules *rules, int64_t now_ms,
             struct error *error)
{
    const struct judging judging = {{rules->keys, rules->ticket_audience, now_ms},
                                    rules->revocations};
    const struct ticket_places places = {request->authorization, request->ticket,
                                         request->cookie};
    struct slice text;
    int status = ticket_find(&places, &text, error);
    if (status != 0)
        return status;
    request->has_ticket = text.p != NULL;
    if (request->has_ticket)
        return verify(request, &judging, text, error);
    if (!rules->require_ticket)
        return 0;
    error_set(error, "a ticket is needed: in the header Authorization: Bearer, the "
                     "parameter ticket= or the cookie " TICKET_COOKIE);
    return 401;
}

/* A header or a cookie may be meant for another program, ticket= is ours: a client that gives it
 * believes that it is bound by it. */
static int
check_no_ticket(const struct request *request, struct error *error)
{
    if (request->ticket == NULL)
        return 0;
    error_set(error, "ticket= is given, but tickets are not known here: start rowcast with "
                     "--ticket-key-file, or leave ticket= out");
    return 400;
}

/* --- channels ------------------------------------------------------------------------ */

/* The bound that shuts the channel out, or FILTER_BOUNDS. */
static enum filter_bound
find_refusing_bound(const struct filter *filter, struct slice channel)
{
    for (int i = 0; i < FILTER_BOUNDS; i++)
        if (!filter_bound_allows(filter, (enum filter_bound)i, channel))
            return (enum filter_bound)i;
    return FILTER_BOUNDS;
}

int
access_check_channels(const struct request *request, struct error *error)
{
    static const char *const reasons[] = {
        [FILTER_BOUND_LOCATION] =
            "read here: the web server's ROWCAST_CHANNELS does not include it",
        [FILTER_BOUND_TICKET] =
            "read with this ticket: its claim channels does not include it"};
    const struct patterns *requested = &request->filter.requested;
    for (size_t i = 0; i < requested->count; i++) {
        const char *channel = requested->items[i];
        enum filter_bound bound = find_refusing_bound(&request->filter, slice_of(channel));
        char quoted[128];
        if (!glob_is_exact(channel) || bound == FILTER_BOUNDS)
            continue;
        error_set(error, "channel %s may not be %s",
                  log_quote(quoted, sizeof quoted, channel), reasons[bound]);
        return 403;
    }
    return 0;
}

int
access_check(struct request *request, const struct access_rules *rules, int64_t now_ms,
             struct error *error)
{
    if (request->resource == RESOURCE_STREAM || request->resource == RESOURCE_WHOAMI ||
        request->resource == RESOURCE_READ || request->resource == RESOURCE_PUSH) {
        int status = rules->keys != NULL ? check_ticket(request, rules, now_ms, error)
                                         : check_no_ticket(request, error);
        return status != 0 ? status : access_check_channels(request, error);
    }
    if (request->resource == RESOURCE_HEALTH || request->admin)
        return 0;
    error_set(error, "not allowed here: the web server must set ROWCAST_ADMIN=1 for this "
                     "location");
    return 403;
}
