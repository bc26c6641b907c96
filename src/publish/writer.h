/* writer.h - rows into the table, off the loop: one thread with a store of its own.
 *
 * The loop hands jobs over and is told when they are done; it never waits for the writer's lock
 * or for the disk. Jobs that wait together share a transaction, and so one fsync; should one of
 * them be refused, each gets a transaction of its own. A job is written whole or not at all. */
#ifndef ROWCAST_PUBLISH_WRITER_H
#define ROWCAST_PUBLISH_WRITER_H

#include <uv.h>

#include "base/error.h"
#include "publish/rows.h"
#include "base/queue.h"
#include "store/store.h"

#define WRITER_JOBS_MAX 64  /* that wait or are being written */
#define WRITER_WAIT_MS 5000 /* how long a job waits for the lock */

enum writer_result {
    WRITER_DONE,    /* committed */
    WRITER_BUSY,    /* locked all the time: nothing was written */
    WRITER_REFUSED, /* by a constraint or trigger of the table, whose words are in error */
    WRITER_FAILED   /* anything else: error is for the log */
};

/* Part of what the submitter allocates. */
struct writer_job {
    struct queue_link link;
    struct publish_rows rows; /* in; the submitter's to free */
    int64_t *ids;             /* out: as many as rows, for the submitter to free */
    enum writer_result result;
    struct error error;
    uint64_t until_ns; /* the wait's end, by uv_hrtime */
};

/* On the loop's thread, once for each job that was submitted. */
typedef void (*writer_done_fn)(void *arg, struct writer_job *job);

struct writer;

/* Opens the table for writing, to fail now rather than at the first request: NULL with *error
 * where it may not be written, or is not rowcast's own. A lock is no reason to fail. path and
 * table must outlive the publisher. */
struct writer *writer_new(uv_loop_t *loop, const struct store_config *store,
                          writer_done_fn done, void *arg, struct error *error);

/* Hands the job (rows set) over until `done` is called with it. Returns 0, or -1 when
 * WRITER_JOBS_MAX are waiting already, or memory is out: the job stays the caller's. */
int writer_submit(struct writer *writer, struct writer_job *job);

/* Jobs for which `done` has not been called. */
size_t writer_pending(const struct writer *writer);

/* Tries each waiting job once more, without waiting for a lock, calls `done` for all, and frees
 * the publisher when the loop has run the close callback. NULL is harmless. */
void writer_free(struct writer *writer);

#endif
