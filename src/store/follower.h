/* follower.h - a database that follows a log elsewhere (`rowcast follow`): its rows come with their
 * ids, and a local INSERT is refused.
 *
 * The mark is a row in the table rowcast_follow and a trigger on the table of notifications, which
 * lets a row pass only while the cell `writing` is 1. The follower sets and clears it within
 * its own transaction, so no other connection ever sees it set.
 *
 * Who writes: follow/. Who reads: serve (health, metrics, ids that are ahead), doctor. */
#ifndef ROWCAST_STORE_FOLLOWER_H
#define ROWCAST_STORE_FOLLOWER_H

#include "store/store.h"

#define STORE_ORIGIN_MAX 64
#define STORE_SOURCE_MAX 256

/* The row of rowcast_follow. All ids are those of the log, all times Unix milliseconds. */
struct store_follower {
    char origin[STORE_ORIGIN_MAX]; /* which log it is; see origin in sql/postgres.sql */
    char source[STORE_SOURCE_MAX]; /* where it is, for a person: no password */
    int64_t cursor;                /* every row up to it that the log has is in the file */
    int64_t base;                  /* of the log, as it was last carried over */
    int64_t deletions;             /* of the log, likewise */
    int64_t deletion_mark;         /* which deletion the last of them is */
    int64_t contact_at_ms; /* then the file had all that the log had; 0: never yet */
    int64_t answer_at_ms;  /* when the log last answered; 0: never yet */
    int64_t alive_at_ms;   /* when the follower last wrote this, whatever its trouble */
    int64_t behind;        /* so many ids the log was ahead then */
    int64_t refused;       /* local inserts that were refused */
    int64_t refused_at_ms; /* the last of them; 0: none */
    char trouble[ERROR_TEXT_MAX]; /* what the follower has to complain of; empty: nothing */
};

/* *is_follower: the file follows, and *follower says what. Reads one row; in the transaction at
 * hand or in one of its own. */
enum store_result store_follower_read(struct store *store, bool *is_follower,
                                      struct store_follower *follower, struct error *error);

/* For how long the file may have lacked something, at now_ms; 0: it lacks nothing. */
int64_t store_follower_lag_ms(const struct store_follower *follower, int64_t now_ms);

/* --- writing: only with STORE_WRITE ---------------------------------------------------- */

/* Marks the file, in one transaction. A file whose table has never had a row takes the base and
 * low-water mark `floor`, below every row that is to come; others keep theirs. */
enum store_result store_follower_mark(struct store *store,
                                      const struct store_follower *follower, int64_t floor,
                                      struct error *error);

/* Begins to write; store_follower_commit or store_rollback ends it. */
enum store_result store_follower_begin(struct store *store, struct error *error);

/* Inserts the row with its id and times. STORE_FAILED with store_refusal: the table's rules are
 * against it. */
enum store_result store_follower_insert(struct store *store, const struct row *row,
                                        struct error *error);

/* Ids of rows that the log has, ascending, of a range. */
struct store_ids {
    int64_t first, last; /* the range */
    const int64_t *ids;
    size_t count;
};

/* Deletes the file's rows of the range that are not among the ids. *deleted grows. */
enum store_result store_follower_delete(struct store *store, const struct store_ids *kept,
                                        int64_t *deleted, struct error *error);

/* The marks of the log, so far as they hold for the file. */
struct store_follower_marks {
    int64_t low_water; /* raises the file's; 0: leave it */
    int64_t base;      /* raises the file's, and its ids go on above it; 0: leave it */
};

/* Writes marks and state (but not refused), and commits. */
enum store_result store_follower_commit(struct store *store,
                                        const struct store_follower *follower,
                                        const struct store_follower_marks *marks,
                                        struct error *error);

/* How often, at the least, a follower that is alive notes it. Longer waits: the server does not
 * answer, or several hosts do not take a connection. */
#define STORE_FOLLOWER_ALIVE_MS 30000

/* The same for contact, answer, life, behind and trouble alone, in a transaction of its own. */
enum store_result store_follower_note(struct store *store,
                                      const struct store_follower *follower,
                                      struct error *error);

/* The file's highest row; id 0: none. */
enum store_result store_follower_top(struct store *store, struct store_seen *top,
                                     struct error *error);

#endif
