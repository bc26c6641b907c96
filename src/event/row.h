/* row.h - one row of the notification table, as the rest of the program sees it. */
#ifndef ROWCAST_EVENT_ROW_H
#define ROWCAST_EVENT_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The highest id that a row may have: JavaScript's Number.MAX_SAFE_INTEGER. */
#define ROW_ID_MAX INT64_C(9007199254740991)
#define ROW_ID_MIN (-ROW_ID_MAX) /* of foreign tables (--table); of ours it is 1 */

/* A column that the tailed table does not have reads as its NULL or 0. */
struct row {
    int64_t id;         /* ROW_ID_MIN .. ROW_ID_MAX */
    int64_t created_at; /* Unix milliseconds; 0: not known */
    int64_t expires_at; /* Unix milliseconds; 0: never */
    struct slice channel;
    struct slice recipient;    /* NULL: everyone who may read the channel */
    struct slice event;        /* NULL: the unnamed "message" */
    struct slice data;         /* the raw bytes; NULL when too_large */
    struct slice collapse_key; /* NULL: never collapsed */
    size_t data_bytes;         /* size of data in the table, also when too_large */
    bool too_large;            /* data exceeds --max-event-bytes and was not read */
};

static inline bool
row_is_expired(const struct row *row, int64_t now_ms)
{
    return row->expires_at != 0 && row->expires_at <= now_ms;
}

#endif
