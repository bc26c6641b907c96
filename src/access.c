/* access.c - refuses at once what can be seen to be refused. */
#include "config.h"

#include "access.h"

#include "log.h"

static int
check_channels(const struct request *request, struct error *error)
{
    const struct patterns *requested = &request->filter.requested;
    for (size_t i = 0; i < requested->count; i++) {
        const char *channel = requested->items[i];
        if (!glob_is_exact(channel) ||
            filter_bounds_allow(&request->filter, slice_of(channel)))
            continue;
        char quoted[128];
        error_set(error,
                  "channel %s may not be read here: the web server's ROWCAST_CHANNELS "
                  "does not include it",
                  log_quote(quoted, sizeof quoted, channel));
        return 403;
    }
    return 0;
}

int
access_check(const struct request *request, struct error *error)
{
    if (request->resource == RESOURCE_STREAM)
        return check_channels(request, error);
    if (request->resource == RESOURCE_HEALTH || request->admin)
        return 0;
    error_set(error, "not allowed here: the web server must set ROWCAST_ADMIN=1 for this "
                     "location");
    return 403;
}
