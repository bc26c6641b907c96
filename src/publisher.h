/* publisher.h - rows into the table, off the loop: one thread with a store of its own.
 *
 * The loop hands jobs over and is told when they are done; it never waits for the writer's lock
 * or for the disk. Jobs that wait together share a transaction, and so one fsync; should one of
 * them be refused, each gets a transaction of its own. A job is written whole or not at all. */
#ifndef ROWCAST_PUBLISHER_H
#define ROWCAST_PUBLISHER_H

#include <uv.h>

#include "error.h"
#include "publish_rows.h"
#include "queue.h"
#include "store.h"

#define PUBLISHER_JOBS_MAX 64  /* that wait or are being written */
#define PUBLISHER_WAIT_MS 5000 /* how long a job waits for the lock */

enum publisher_result {
    PUBLISHER_DONE,    /* committed */
    PUBLISHER_BUSY,    /* locked all the time: nothing was written */
    PUBLISHER_REFUSED, /* by a constraint or trigger of the table, whose words are in error */
    PUBLISHER_FAILED   /* anything else: error is for the log */
};

/* Part of what the submitter allocates. */
struct publisher_job {
    struct queue_link link;
    struct publish_rows rows; /* in; the submitter's to free */
    int64_t *ids;             /* out: as many as rows, for the submitter to free */
    enum publisher_result result;
    struct error error;
    uint64_t until_ns; /* the wait's end, by uv_hrtime */
};

/* On the loop's thread, once for each job that was submitted. */
typedef void (*publisher_done_fn)(void *arg, struct publisher_job *job);

struct publisher;

/* Opens the table for writing, to fail now rather than at the first request: NULL with *error
 * where it may not be written, or is not rowcast's own. A lock is no reason to fail. path and
 * table must outlive the publisher. */
struct publisher *publisher_new(uv_loop_t *loop, const struct store_config *store,
                                publisher_done_fn done, void *arg, struct error *error);

/* Hands the job (rows set) over until `done` is called with it. Returns 0, or -1 when
 * PUBLISHER_JOBS_MAX are waiting already, or memory is out: the job stays the caller's. */
int publisher_submit(struct publisher *publisher, struct publisher_job *job);

/* Jobs for which `done` has not been called. */
size_t publisher_pending(const struct publisher *publisher);

/* Tries each waiting job once more, without waiting for a lock, calls `done` for all, and frees
 * the publisher when the loop has run the close callback. NULL is harmless. */
void publisher_free(struct publisher *publisher);

#endif
