/* presence_table.h - the tables of presence: a worker's lease and entries, users who came and who
 * left, and the rows join and leave.
 *
 * people/presence.c calls it on the writer's thread. Each function is a part of a transaction that
 * the caller begins and ends. */
#ifndef ROWCAST_PEOPLE_PRESENCE_TABLE_H
#define ROWCAST_PEOPLE_PRESENCE_TABLE_H

#include "people/here.h"
#include "store/store.h"

/* Those who read the view may go by a lease for so long after its worker was killed. */
#define PRESENCE_LEASE_MS 9000
#define PRESENCE_RENEW_MS 3000

/* From a user's last stream to the row leave, so that a page can be reloaded without one. */
#define PRESENCE_GRACE_MS 5000

/* Entries of dead workers in one transaction, and rows leave. */
#define PRESENCE_SWEEP_MAX 500

struct presence_table {
    struct store *store;
    const char *worker;  /* the caller's name */
    const char *channel; /* of join and leave; NULL: there are none */
    int64_t now_ms;      /* Unix time */
    struct error
        refused; /* why the table would not have a row join or leave; empty: it had */
};

/* Whether the database has the tables: STORE_FAILED with *error says what to do. */
enum store_result presence_table_check(struct store *store, struct error *error);

/* Renews the lease. *was_there: false when it was made again, so that no entry can be there. */
enum store_result presence_table_renew(struct presence_table *table, bool *was_there,
                                       struct error *error);

/* No entry is left: the lease is given back. */
enum store_result presence_table_end(struct presence_table *table, struct error *error);

/* Several of these share their statements: begin, put..., finish. */
struct presence_put;
struct presence_put *presence_put_begin(struct presence_table *table,
                                        enum store_result *result, struct error *error);
enum store_result presence_put(struct presence_put *put, const struct here_change *change,
                               struct error *error);
void presence_put_finish(struct presence_put *put); /* NULL is fine */

/* Whether there is anything for the next function to do. Reads only, without a transaction. */
enum store_result presence_table_look(struct presence_table *table, bool *has_work,
                                      struct error *error);

/* Deletes what workers have left whose lease has ended, or who have this name (NULL: none), and
 * inserts leave for users whose grace is over; PRESENCE_SWEEP_MAX of each. */
enum store_result presence_table_sweep(struct presence_table *table, const char *dead,
                                       struct error *error);

#endif
