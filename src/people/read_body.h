/* read_body.h - the body of a POST to /events/read: an id, and perhaps a channel. Pure.
 *
 * Forms and JSON, as for publishing; what is not understood is refused and named. */
#ifndef ROWCAST_PEOPLE_READ_BODY_H
#define ROWCAST_PEOPLE_READ_BODY_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "publish/rows.h"

#define READ_BODY_MAX 4096    /* bytes */
#define READ_CHANNEL_MAX 1024 /* bytes */

struct read_body {
    int64_t id;
    char *channel; /* owned; NULL: that of the row with the id */
};

/* Returns 0, or 400 (413: too long, 503: out of memory) with *error. *read is set up in either case
 * and must be given to read_body_fini. */
int read_body_parse(struct read_body *read, enum publish_type type, struct slice body,
                    struct error *error);
void read_body_fini(struct read_body *read);

#endif
