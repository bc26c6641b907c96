/* recent.h - copies of the newest rows, so that a row is read once for all subscriptions. Pure. */
#ifndef ROWCAST_PUSH_RECENT_H
#define ROWCAST_PUSH_RECENT_H

#include <stddef.h>

#include "event/row.h"

#define RECENT_ROWS_MAX 1024
#define RECENT_BYTES_MAX (8 << 20)

struct recent_row {
    struct row row; /* its bytes are the list's */
    char *bytes;
    size_t len;
    bool is_replaced; /* by a newer one with the same channel, recipient and collapse_key */
};

struct recent {
    struct recent_row rows[RECENT_ROWS_MAX];
    size_t count;
    size_t bytes;
    int64_t after; /* all rows behind it are here */
};

/* No rows are here; all that come have an id above `after`. */
void recent_reset(struct recent *recent, int64_t after);

/* Appends a copy; ids only grow. Older rows go where there is no room, and also when memory is
 * out: the row is then not here either, and `after` is its id. */
void recent_append(struct recent *recent, const struct row *row);

/* The place of the first row with an id above `after`; recent->count: there is none. */
size_t recent_find(const struct recent *recent, int64_t after);

void recent_fini(struct recent *recent);

#endif
