/* table.h - the table rowcast_push: all SQL about subscriptions.
 *
 * `rowcast serve` puts and removes subscriptions on its writer's thread, `rowcast push` reads them
 * and notes what became of its messages, `rowcast doctor` counts. */
#ifndef ROWCAST_PUSH_TABLE_H
#define ROWCAST_PUSH_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/store.h"

/* --- for serve: within the caller's transaction ------------------------------------- */

struct push_entry {
    const char *endpoint;
    const char *user;     /* NULL: a reader without a name */
    const char *channels; /* JSON arrays of patterns; the bounds NULL: none */
    const char *bounds, *ticket_bounds;
    const char *p256dh, *auth;
    const char *vapid_key;
    const char *page;    /* NULL: none */
    const char *address; /* NULL: none */
    bool absent;
    int64_t now_ms;      /* Unix time */
    int64_t expires_at;  /* likewise; 0: not known */
    int64_t max_of_user; /* subscriptions; 0: no bound */
    int64_t max_of_address;
    int64_t max_of_all;
};

enum push_put { PUSH_PUT, PUSH_USER_FULL, PUSH_ADDRESS_FULL, PUSH_ALL_FULL };

/* Stores the subscription, or replaces the one of its endpoint. A new one, or one of another user
 * than before, begins behind the newest row; else the cursor stays, and what is due stays due. */
enum store_result push_table_put(struct store *store, const struct push_entry *entry,
                                 enum push_put *put, struct error *error);

/* Ends the subscription, if there is one. */
enum store_result push_table_remove(struct store *store, const char *endpoint,
                                    struct error *error);

/* --- for the sender ----------------------------------------------------------------- */

/* As stored; the bytes are valid during the call. NULL columns have p NULL, or 0. */
struct push_row {
    int64_t rowid;
    struct slice endpoint, user, channels, bounds, ticket_bounds, p256dh, auth, vapid_key,
        page;
    bool absent;
    bool is_over; /* revoked since, or past its expires_at */
    int64_t cursor, retry_at, failures;
};

struct push_table; /* the prepared statements */

/* store must outlive it. NULL with *error when there is no such table or no memory. */
struct push_table *push_table_open(struct store *store, struct error *error);
void push_table_close(struct push_table *table);

/* Who gets the rows. */
struct push_scan {
    int64_t now_ms; /* Unix time, for is_over */
    void (*take)(void *arg, const struct push_row *row);
    void *arg;
    size_t count; /* out: rows that take got */
};

/* Every subscription, in the order of rowid. */
enum store_result push_table_scan(struct push_table *table, struct push_scan *scan,
                                  struct error *error);

/* One, as it is now; scan->count 0: it has ended. Microseconds. */
enum store_result push_table_read(struct push_table *table, const char *endpoint,
                                  struct push_scan *scan, struct error *error);

/* What became of messages. */
struct push_note {
    const char *endpoint;
    int64_t cursor;
    int64_t retry_at; /* Unix milliseconds; 0: none */
    int64_t failures;
    int status;      /* 0: no answer */
    const char *why; /* NULL: all is well */
};
/* Both within the caller's transaction. A subscription that has ended stays ended. */
enum store_result push_table_note(struct push_table *table, const struct push_note *note,
                                  struct error *error);
enum store_result push_table_end(struct push_table *table, const char *endpoint,
                                 struct error *error);

/* Calls take with each user who has an open stream now (rowcast_presence). */
typedef void (*push_user_fn)(void *arg, struct slice user);
enum store_result push_table_present(struct push_table *table, push_user_fn take, void *arg,
                                     struct error *error);

/* --- for doctor --------------------------------------------------------------------- */

struct push_summary {
    bool exists; /* the table does */
    int64_t count, failing, other_key, waiting;
    char last_error[128]; /* of the one that has failed most often; "": none */
    int last_status;
};

/* vapid_key NULL: other_key is not counted. */
enum store_result push_table_sum(struct store *store, const char *vapid_key,
                                 struct push_summary *summary, struct error *error);

#endif
