/* revocation_table.h - the table rowcast_revocation: read on from an id, and written.
 *
 * people/revocation_log.c reads it, `rowcast revoke` writes it. */
#ifndef ROWCAST_PEOPLE_REVOCATION_TABLE_H
#define ROWCAST_PEOPLE_REVOCATION_TABLE_H

#include "base/slice.h"
#include "store/store.h"

struct revocation {
    int64_t id;
    struct slice user; /* valid during the call */
    int64_t before_ms; /* Unix milliseconds */
};
typedef void (*revocation_fn)(void *arg, const struct revocation *revocation);

struct revocation_range {
    int64_t after; /* ids above it */
    int most;      /* rows */
    revocation_fn take;
    void *arg;
};

/* Rows in the order of their ids, of one snapshot. *count: how many there were. A database without
 * the table has none. */
enum store_result revocation_table_read(struct store *store,
                                        const struct revocation_range *range, int *count,
                                        struct error *error);

/* Adds a row, in a transaction of its own; the store is open to write. The user's subscriptions to
 * Web Push end with it, by the table's trigger. */
enum store_result revocation_table_add(struct store *store, struct slice user,
                                       int64_t before_ms, struct error *error);

/* Deletes the rows of before that time. *count: how many. */
enum store_result revocation_table_forget(struct store *store, int64_t before_ms,
                                          int64_t *count, struct error *error);

#endif
