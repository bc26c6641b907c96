/* internal.h - what the files of follow/ share. */
#ifndef ROWCAST_FOLLOW_INTERNAL_H
#define ROWCAST_FOLLOW_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "follow/follow.h"
#include "follow/pg.h"
#include "follow/query.h"
#include "store/follower.h"

/* What the log says of itself, at one moment. */
struct follow_log {
    bool found; /* it has a row for our table */
    int64_t version, base, low_water, deletions, last, lowest, delay_ms, clock_ms;
    int64_t deletion_mark; /* of the last deletion */
    char origin[STORE_ORIGIN_MAX];
    bool is_standby;
    bool is_numbered;
    bool is_utf8;
};

/* Counted since the start. */
struct follow_counts {
    uint64_t rows, deleted, looks, connections, refused_rows, failures;
};

struct follow {
    const struct follow_settings *settings;
    struct pg *pg;               /* NULL: not connected */
    struct store *store;         /* NULL: not open */
    struct store_follower state; /* as it is in the file */
    struct follow_log log;       /* as last seen */
    struct follow_counts counts;
    bool is_complete;     /* the last look brought all that there was */
    bool was_well;        /* it has followed once: from then on every fault is waited out */
    bool must_compare;    /* the whole file with the log, before the base moves */
    bool may_not_prune;   /* said in the log */
    int64_t noted_at_ms;  /* when contact was last written to the file */
    int64_t pruned_at_ms; /* when old rows were last looked for */
    int64_t metrics_at_ms;
    struct error said; /* trouble as it stands in the log */
};

/* How a step ended. */
enum follow_result {
    FOLLOW_OK,
    FOLLOW_AGAIN,    /* the connection or the file is to be reopened; *error */
    FOLLOW_HOPELESS, /* a person must do something first; *error */
    FOLLOW_STOPPED
};

/* What becomes of pg_run's and the store's results. The store is closed where that helps. */
enum follow_result follow_pg_result(struct follow *follow, enum pg_outcome result);
enum follow_result follow_store_result(struct follow *follow, enum store_result result);

/* --- log.c: questions to the server ----------------------------------------------------- */

/* Takes a row of the first SELECT of a look. */
void follow_take_log(struct follow_log *log, const struct pg_row *row);

/* Whether this program can follow it. */
enum follow_result follow_check_log(const struct follow *follow,
                                    const struct follow_log *log, struct error *error);

/* Reads the row of the log into follow->log and checks it. */
enum follow_result follow_read_log(struct follow *follow, struct error *error);

struct follow_number {
    bool found; /* the query gave a row */
    int64_t value;
};

/* Runs SQL whose answer is at most one number; "notification" in it stands for the table. */
enum follow_result follow_ask(struct follow *follow, const char *text,
                              struct follow_number *number, struct error *error);

/* Moves the log's ids on: the next row gets an id above this one. */
enum follow_result follow_skip_to(struct follow *follow, int64_t above,
                                  struct error *error);

/* --- begin.c: a new connection -------------------------------------------------------- */

/* Reads what the log is, checks that it can be followed, opens the file, making it if need be, and
 * finds out whether the server has lost rows that the file has. */
enum follow_result follow_begin(struct follow *follow, struct error *error);

/* --- lost.c: rows that the server has lost --------------------------------------------- */

/* Looks for them, and if there are any moves the log's base: the next look reads the log again.
 * On a standby: FOLLOW_AGAIN, and *error says what a person can do. */
enum follow_result follow_check_loss(struct follow *follow, struct error *error);

/* --- batch.c: a look ------------------------------------------------------------------ */

/* Writes what is new into the file: one snapshot of the log, at most QUERY_ROWS rows. Sets
 * is_complete. */
enum follow_result follow_look(struct follow *follow, struct error *error);

/* --- carry.c: deletions --------------------------------------------------------------- */

struct follow_range {
    int64_t number; /* of the deletion */
    int64_t lowest, highest;
    int64_t mark;
};

/* Deletes in the file what is gone from the range of the log. */
enum follow_result follow_carry(struct follow *follow, const struct follow_range *range,
                                struct error *error);

/* Deletes old rows at both ends, some batches. */
enum follow_result follow_prune(struct follow *follow, struct error *error);

/* --- metrics.c ------------------------------------------------------------------------ */

/* Writes the metrics file, whole or not at all. Returns 0, or -1 with *error. */
int follow_write_metrics(const struct follow *follow, struct error *error);

#endif
