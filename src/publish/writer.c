/* writer.c - the thread that writes what is published over HTTP; see publish/writer.h.
 *
 * Jobs go from `waiting` (mutex) to a batch that is the thread's own, and from there to
 * `finished` (mutex), which the loop empties when the async handle wakes it. The lock is asked
 * for in short turns instead of one long wait, so that a job whose time is over is answered and
 * an end of the program is seen meanwhile. */
#include "config.h"

#include "publish/writer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* One turn of waiting for the lock. */
#define TURN_MS 200

struct writer {
    uv_thread_t thread;
    uv_async_t async;
    uv_mutex_t mutex;
    uv_cond_t cond;
    struct queue waiting;  /* mutex */
    struct queue finished; /* mutex */
    bool ending;           /* mutex */
    size_t pending;        /* the loop's */
    struct store_config config;
    struct store *store; /* the thread's; NULL: to be opened */
    writer_done_fn done;
    void *arg;
};

/* --- the thread: writing -------------------------------------------------------------------- */

static enum store_result
writer_open(struct writer *writer, struct error *error)
{
    bool busy = false;
    if (writer->store != NULL && store_has_moved(writer->store)) {
        store_close(writer->store);
        writer->store = NULL;
    }
    if (writer->store == NULL)
        writer->store = store_open(&writer->config, &busy, error);
    if (writer->store != NULL)
        return STORE_OK;
    return busy ? STORE_BUSY : STORE_FAILED;
}

static enum store_result
insert_job(struct store *store, struct writer_job *job, struct error *error)
{
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < job->rows.count && result == STORE_OK; i++) {
        struct row row;
        publish_rows_get(&job->rows, i, &row);
        result = store_insert(store, &row, &job->ids[i], error);
    }
    return result;
}

struct outcome {
    enum writer_result result;
    struct error error;
};

/* All jobs of the batch in one transaction. */
static struct outcome
write_batch(struct writer *writer, const struct queue *batch)
{
    struct outcome outcome = {.result = WRITER_DONE};
    enum store_result result = writer_open(writer, &outcome.error);
    if (result == STORE_OK)
        result = store_begin_write(writer->store, &outcome.error);
    for (struct queue_link *link = queue_head(batch);
         link != NULL && link != &batch->ends && result == STORE_OK; link = link->next)
        result = insert_job(writer->store, queue_item(link, struct writer_job, link),
                            &outcome.error);
    if (result == STORE_OK)
        result = store_commit(writer->store, &outcome.error);
    if (result == STORE_OK)
        return outcome;

    const char *refusal = writer->store != NULL ? store_refusal(writer->store) : NULL;
    outcome.result = result == STORE_BUSY ? WRITER_BUSY : WRITER_FAILED;
    if (refusal != NULL && result == STORE_FAILED) {
        outcome.result = WRITER_REFUSED;
        error_set(&outcome.error, "the table refuses the row: %s", refusal);
    }
    if (writer->store != NULL)
        store_rollback(writer->store);
    if (outcome.result == WRITER_FAILED) {
        /* Whatever it was, the next one starts afresh. */
        store_close(writer->store);
        writer->store = NULL;
    }
    return outcome;
}

/* --- the thread: jobs ------------------------------------------------------------------------ */

static void
finish_job(struct writer *writer, struct writer_job *job, const struct outcome *outcome)
{
    job->result = outcome->result;
    job->error = outcome->error;
    uv_mutex_lock(&writer->mutex);
    queue_push(&writer->finished, &job->link);
    uv_mutex_unlock(&writer->mutex);
    uv_async_send(&writer->async);
}

static void
finish_all(struct writer *writer, struct queue *batch, const struct outcome *outcome)
{
    struct queue_link *link;
    while ((link = queue_head(batch)) != NULL)
        finish_job(writer, queue_item(link, struct writer_job, link), outcome);
}

static bool
is_ending(struct writer *writer)
{
    uv_mutex_lock(&writer->mutex);
    bool ending = writer->ending;
    uv_mutex_unlock(&writer->mutex);
    return ending;
}

/* Locked: those whose time is over are told so; all of them at the end of the program. Oldest
 * first, so the first that may go on waiting is followed by such. */
static void
give_up_late(struct writer *writer, struct queue *batch, const struct outcome *outcome)
{
    uint64_t now = is_ending(writer) ? UINT64_MAX : uv_hrtime();
    struct queue_link *link;
    while ((link = queue_head(batch)) != NULL) {
        struct writer_job *job = queue_item(link, struct writer_job, link);
        if (job->until_ns > now)
            return;
        finish_job(writer, job, outcome);
    }
}

static bool
is_single(const struct queue *batch)
{
    const struct queue_link *head = queue_head(batch);
    return head != NULL && head->next == &batch->ends;
}

/* Writes the batch as one, for as long as only a lock stands in the way. */
static struct outcome
write_patiently(struct writer *writer, struct queue *batch)
{
    struct outcome outcome;
    do {
        outcome = write_batch(writer, batch);
        if (outcome.result == WRITER_BUSY)
            give_up_late(writer, batch, &outcome);
    } while (outcome.result == WRITER_BUSY && queue_head(batch) != NULL);
    return outcome;
}

static void
write_jobs(struct writer *writer, struct queue *batch)
{
    struct queue_link *link;
    struct outcome outcome = write_patiently(writer, batch);
    if (outcome.result == WRITER_DONE || is_single(batch)) {
        finish_all(writer, batch, &outcome);
        return;
    }
    /* One spoils it for the others: each by itself. */
    while ((link = queue_head(batch)) != NULL) {
        struct queue alone;
        queue_init(&alone);
        queue_push(&alone, link);
        outcome = write_patiently(writer, &alone);
        finish_all(writer, &alone, &outcome);
    }
}

/* Waits for jobs and takes them all. False at the end. */
static bool
take_jobs(struct writer *writer, struct queue *batch)
{
    struct queue_link *link;
    uv_mutex_lock(&writer->mutex);
    while (queue_head(&writer->waiting) == NULL && !writer->ending)
        uv_cond_wait(&writer->cond, &writer->mutex);
    while ((link = queue_head(&writer->waiting)) != NULL)
        queue_push(batch, link);
    uv_mutex_unlock(&writer->mutex);
    return queue_head(batch) != NULL;
}

static void
writer_main(void *arg)
{
    struct writer *writer = arg;
    struct queue batch;
    queue_init(&batch);
    while (take_jobs(writer, &batch))
        write_jobs(writer, &batch);
    store_close(writer->store);
    writer->store = NULL;
}

/* --- the loop's side ------------------------------------------------------------------------- */

static void
deliver(struct writer *writer)
{
    struct queue_link *link;
    for (;;) {
        uv_mutex_lock(&writer->mutex);
        link = queue_head(&writer->finished);
        if (link != NULL)
            queue_remove(link);
        uv_mutex_unlock(&writer->mutex);
        if (link == NULL)
            return;
        writer->pending--;
        writer->done(writer->arg, queue_item(link, struct writer_job, link));
    }
}

static void
on_finished(uv_async_t *async)
{
    deliver(async->data);
}

/* Signals are the loop's: the thread takes none. */
static int
start_thread(struct writer *writer)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = uv_thread_create(&writer->thread, writer_main, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static void
on_async_closed(uv_handle_t *handle)
{
    struct writer *writer = handle->data;
    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    free(writer);
}

static int
writer_set_up(struct writer *writer, uv_loop_t *loop)
{
    if (uv_mutex_init(&writer->mutex) != 0)
        return -1;
    if (uv_cond_init(&writer->cond) != 0) {
        uv_mutex_destroy(&writer->mutex);
        return -1;
    }
    if (uv_async_init(loop, &writer->async, on_finished) != 0) {
        uv_cond_destroy(&writer->cond);
        uv_mutex_destroy(&writer->mutex);
        return -1;
    }
    writer->async.data = writer;
    return 0;
}

struct writer *
writer_new(uv_loop_t *loop, const struct store_config *store, writer_done_fn done,
           void *arg, struct error *error)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    writer->config = *store;
    writer->config.mode = STORE_WRITE;
    writer->config.busy_ms = TURN_MS;
    writer->config.keep_wal = true;
    writer->done = done;
    writer->arg = arg;
    queue_init(&writer->waiting);
    queue_init(&writer->finished);
    if (writer_open(writer, error) == STORE_FAILED || writer_set_up(writer, loop) != 0) {
        store_close(writer->store);
        free(writer);
        return NULL;
    }
    if (start_thread(writer) == 0)
        return writer;
    error_set(error, "cannot start the thread that writes what is published");
    store_close(writer->store);
    uv_close((uv_handle_t *)&writer->async, on_async_closed);
    return NULL;
}

int
writer_submit(struct writer *writer, struct writer_job *job)
{
    if (writer->pending == WRITER_JOBS_MAX)
        return -1;
    job->ids = calloc(job->rows.count, sizeof *job->ids);
    if (job->ids == NULL)
        return -1;
    job->until_ns = uv_hrtime() + (uint64_t)WRITER_WAIT_MS * 1000000;
    queue_link_init(&job->link);
    writer->pending++;
    uv_mutex_lock(&writer->mutex);
    queue_push(&writer->waiting, &job->link);
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
    return 0;
}

size_t
writer_pending(const struct writer *writer)
{
    return writer->pending;
}

void
writer_free(struct writer *writer)
{
    if (writer == NULL)
        return;
    uv_mutex_lock(&writer->mutex);
    writer->ending = true;
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
    uv_thread_join(&writer->thread);
    deliver(writer);
    uv_close((uv_handle_t *)&writer->async, on_async_closed);
}
