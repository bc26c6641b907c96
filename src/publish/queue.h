/* queue.h - what requests have to be written, as a kind of work for the writer's thread
 * (publish/writer.h): rows that are published, or what a job writes by itself (push/endpoint.h).
 *
 * The loop hands jobs over and gets them back when they are done. Jobs that wait together share a
 * transaction, and so one fsync; should one of them be refused, each gets a transaction of its
 * own. A job is written whole or not at all. */
#ifndef ROWCAST_PUBLISH_QUEUE_H
#define ROWCAST_PUBLISH_QUEUE_H

#include <uv.h>

#include "base/error.h"
#include "publish/rows.h"
#include "base/queue.h"
#include "publish/writer.h"

#define PUBLISH_JOBS_MAX 64  /* that wait or are being written */
#define PUBLISH_WAIT_MS 5000 /* how long a job waits for the lock */

enum publish_result {
    PUBLISH_DONE,    /* committed */
    PUBLISH_BUSY,    /* locked all the time: nothing was written */
    PUBLISH_REFUSED, /* by a constraint or trigger of the table, whose words are in error */
    PUBLISH_FAILED   /* anything else: error is for the log */
};

/* Part of what the submitter allocates. */
struct publish_job {
    struct queue_link link;
    struct publish_rows rows; /* in; the submitter's to free */
    int64_t *ids;             /* out: as many as rows, for the submitter to free */
    /* NULL: the rows are inserted. Else called instead, on the writer's thread and within the
     * transaction, once more where that has to be repeated. */
    enum store_result (*write)(struct publish_job *job, struct store *store,
                               struct error *error);
    enum publish_result result;
    struct error error;
    uint64_t until_ns; /* the wait's end, by uv_hrtime */
};

/* On the loop's thread, once for each job that was submitted. */
typedef void (*publish_done_fn)(void *arg, struct publish_job *job);

struct publish_queue;

/* For the log, as in struct writer_kind. */
struct publish_queue_words {
    const char *failing;
    const char *working;
};

/* The submitter of the jobs. */
struct publish_queue_owner {
    publish_done_fn done;
    void *arg;
    /* NULL: the process does not start when the database cannot be written. Else the process can do
     * without these jobs: the queue opens the database when there is one. */
    const struct publish_queue_words *optional;
};

/* Adds the kind of work to the writer, which is not started yet and must be freed (its thread is
 * then ended) before publish_queue_free. Copies *owner. NULL with *error when memory or descriptors
 * are out. */
struct publish_queue *publish_queue_new(uv_loop_t *loop, struct writer *writer,
                                        const struct publish_queue_owner *owner,
                                        struct error *error);

/* Hands the job (rows set) over until `done` is called with it. Returns 0, or -1 when
 * PUBLISH_JOBS_MAX are waiting already, or memory is out: the job stays the caller's. */
int publish_queue_submit(struct publish_queue *queue, struct publish_job *job);

/* Jobs for which `done` has not been called. */
size_t publish_queue_pending(const struct publish_queue *queue);

/* After the writer's end, which has tried each waiting job once more, without waiting for a lock:
 * calls `done` for all, and frees the queue when the loop has run the close callback. NULL is
 * harmless. */
void publish_queue_free(struct publish_queue *queue);

#endif
