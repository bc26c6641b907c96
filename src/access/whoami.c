/* whoami.c - what a requester learns about itself: GET /events/whoami (doc/PROTOCOL.md, Resources).
 *
 * Called by serve/dispatch.c after access_check has let the request through, so it answers what a
 * stream with the same query, login and ticket would be. `rowcast doctor` judges by it who may read
 * what. It names bounds and does not quote them: patterns are the administrator's. */
#include "config.h"

#include "access/access.h"

#include "base/json.h"

static void
append_bounds(struct buf *buf, const struct filter *filter)
{
    static const char *const names[] = {
        [FILTER_BOUND_LOCATION] = "\"location\"", [FILTER_BOUND_TICKET] = "\"ticket\""};
    const char *comma = "";
    for (int i = 0; i < FILTER_BOUNDS; i++) {
        if (!filter->bounded[i])
            continue;
        buf_append_text(buf, comma);
        buf_append_text(buf, names[i]);
        comma = ",";
    }
}

void
access_append_whoami(struct buf *buf, const struct request *request)
{
    const char *user = request->filter.user;
    bool publishes =
        request->takes_post && (request->has_publish || request->has_ticket_publish);

    buf_append_text(buf, "{\"user\":");
    if (user != NULL && user[0] != '\0')
        json_append_string(buf, slice_of(user));
    else
        buf_append_text(buf, "null");
    buf_append_text(buf, ",\"bounds\":[");
    append_bounds(buf, &request->filter);
    buf_append_text(buf, publishes ? "],\"publish\":true}\n" : "],\"publish\":false}\n");
}
