/* publisher.c - the thread that writes what is published over HTTP; see publisher.h.
 *
 * Jobs go from `waiting` (mutex) to a batch that is the thread's own, and from there to
 * `finished` (mutex), which the loop empties when the async handle wakes it. The lock is asked
 * for in short turns instead of one long wait, so that a job whose time is over is answered and
 * an end of the program is seen meanwhile. */
#include "config.h"

#include "publisher.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* One turn of waiting for the lock. */
#define TURN_MS 200

struct publisher {
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
    publisher_done_fn done;
    void *arg;
};

/* --- the thread: writing -------------------------------------------------------------------- */

static enum store_result
publisher_open(struct publisher *publisher, struct error *error)
{
    bool busy = false;
    if (publisher->store != NULL && store_has_moved(publisher->store)) {
        store_close(publisher->store);
        publisher->store = NULL;
    }
    if (publisher->store == NULL)
        publisher->store = store_open(&publisher->config, &busy, error);
    if (publisher->store != NULL)
        return STORE_OK;
    return busy ? STORE_BUSY : STORE_FAILED;
}

static enum store_result
insert_job(struct store *store, struct publisher_job *job, struct error *error)
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
    enum publisher_result result;
    struct error error;
};

/* All jobs of the batch in one transaction. */
static struct outcome
write_batch(struct publisher *publisher, const struct queue *batch)
{
    struct outcome outcome = {.result = PUBLISHER_DONE};
    enum store_result result = publisher_open(publisher, &outcome.error);
    if (result == STORE_OK)
        result = store_begin_write(publisher->store, &outcome.error);
    for (struct queue_link *link = queue_head(batch);
         link != NULL && link != &batch->ends && result == STORE_OK; link = link->next)
        result = insert_job(publisher->store, queue_item(link, struct publisher_job, link),
                            &outcome.error);
    if (result == STORE_OK)
        result = store_commit(publisher->store, &outcome.error);
    if (result == STORE_OK)
        return outcome;

    const char *refusal = publisher->store != NULL ? store_refusal(publisher->store) : NULL;
    outcome.result = result == STORE_BUSY ? PUBLISHER_BUSY : PUBLISHER_FAILED;
    if (refusal != NULL && result == STORE_FAILED) {
        outcome.result = PUBLISHER_REFUSED;
        error_set(&outcome.error, "the table refuses the row: %s", refusal);
    }
    if (publisher->store != NULL)
        store_rollback(publisher->store);
    if (outcome.result == PUBLISHER_FAILED) {
        /* Whatever it was, the next one starts afresh. */
        store_close(publisher->store);
        publisher->store = NULL;
    }
    return outcome;
}

/* --- the thread: jobs ------------------------------------------------------------------------ */

static void
finish_job(struct publisher *publisher, struct publisher_job *job,
           const struct outcome *outcome)
{
    job->result = outcome->result;
    job->error = outcome->error;
    uv_mutex_lock(&publisher->mutex);
    queue_push(&publisher->finished, &job->link);
    uv_mutex_unlock(&publisher->mutex);
    uv_async_send(&publisher->async);
}

static void
finish_all(struct publisher *publisher, struct queue *batch, const struct outcome *outcome)
{
    struct queue_link *link;
    while ((link = queue_head(batch)) != NULL)
        finish_job(publisher, queue_item(link, struct publisher_job, link), outcome);
}

static bool
is_ending(struct publisher *publisher)
{
    uv_mutex_lock(&publisher->mutex);
    bool ending = publisher->ending;
    uv_mutex_unlock(&publisher->mutex);
    return ending;
}

/* Locked: those whose time is over are told so; all of them at the end of the program. Oldest
 * first, so the first that may go on waiting is followed by such. */
static void
give_up_late(struct publisher *publisher, struct queue *batch,
             const struct outcome *outcome)
{
    uint64_t now = is_ending(publisher) ? UINT64_MAX : uv_hrtime();
    struct queue_link *link;
    while ((link = queue_head(batch)) != NULL) {
        struct publisher_job *job = queue_item(link, struct publisher_job, link);
        if (job->until_ns > now)
            return;
        finish_job(publisher, job, outcome);
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
write_patiently(struct publisher *publisher, struct queue *batch)
{
    struct outcome outcome;
    do {
        outcome = write_batch(publisher, batch);
        if (outcome.result == PUBLISHER_BUSY)
            give_up_late(publisher, batch, &outcome);
    } while (outcome.result == PUBLISHER_BUSY && queue_head(batch) != NULL);
    return outcome;
}

static void
write_jobs(struct publisher *publisher, struct queue *batch)
{
    struct queue_link *link;
    struct outcome outcome = write_patiently(publisher, batch);
    if (outcome.result == PUBLISHER_DONE || is_single(batch)) {
        finish_all(publisher, batch, &outcome);
        return;
    }
    /* One spoils it for the others: each by itself. */
    while ((link = queue_head(batch)) != NULL) {
        struct queue alone;
        queue_init(&alone);
        queue_push(&alone, link);
        outcome = write_patiently(publisher, &alone);
        finish_all(publisher, &alone, &outcome);
    }
}

/* Waits for jobs and takes them all. False at the end. */
static bool
take_jobs(struct publisher *publisher, struct queue *batch)
{
    struct queue_link *link;
    uv_mutex_lock(&publisher->mutex);
    while (queue_head(&publisher->waiting) == NULL && !publisher->ending)
        uv_cond_wait(&publisher->cond, &publisher->mutex);
    while ((link = queue_head(&publisher->waiting)) != NULL)
        queue_push(batch, link);
    uv_mutex_unlock(&publisher->mutex);
    return queue_head(batch) != NULL;
}

static void
publisher_main(void *arg)
{
    struct publisher *publisher = arg;
    struct queue batch;
    queue_init(&batch);
    while (take_jobs(publisher, &batch))
        write_jobs(publisher, &batch);
    store_close(publisher->store);
    publisher->store = NULL;
}

/* --- the loop's side ------------------------------------------------------------------------- */

static void
deliver(struct publisher *publisher)
{
    struct queue_link *link;
    for (;;) {
        uv_mutex_lock(&publisher->mutex);
        link = queue_head(&publisher->finished);
        if (link != NULL)
            queue_remove(link);
        uv_mutex_unlock(&publisher->mutex);
        if (link == NULL)
            return;
        publisher->pending--;
        publisher->done(publisher->arg, queue_item(link, struct publisher_job, link));
    }
}

static void
on_finished(uv_async_t *async)
{
    deliver(async->data);
}

/* Signals are the loop's: the thread takes none. */
static int
start_thread(struct publisher *publisher)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = uv_thread_create(&publisher->thread, publisher_main, publisher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static void
on_async_closed(uv_handle_t *handle)
{
    struct publisher *publisher = handle->data;
    uv_cond_destroy(&publisher->cond);
    uv_mutex_destroy(&publisher->mutex);
    free(publisher);
}

static int
publisher_set_up(struct publisher *publisher, uv_loop_t *loop)
{
    if (uv_mutex_init(&publisher->mutex) != 0)
        return -1;
    if (uv_cond_init(&publisher->cond) != 0) {
        uv_mutex_destroy(&publisher->mutex);
        return -1;
    }
    if (uv_async_init(loop, &publisher->async, on_finished) != 0) {
        uv_cond_destroy(&publisher->cond);
        uv_mutex_destroy(&publisher->mutex);
        return -1;
    }
    publisher->async.data = publisher;
    return 0;
}

struct publisher *
publisher_new(uv_loop_t *loop, const struct store_config *store, publisher_done_fn done,
              void *arg, struct error *error)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    publisher->config = *store;
    publisher->config.mode = STORE_WRITE;
    publisher->config.busy_ms = TURN_MS;
    publisher->config.keep_wal = true;
    publisher->done = done;
    publisher->arg = arg;
    queue_init(&publisher->waiting);
    queue_init(&publisher->finished);
    if (publisher_open(publisher, error) == STORE_FAILED ||
        publisher_set_up(publisher, loop) != 0) {
        store_close(publisher->store);
        free(publisher);
        return NULL;
    }
    if (start_thread(publisher) == 0)
        return publisher;
    error_set(error, "cannot start the thread that writes what is published");
    store_close(publisher->store);
    uv_close((uv_handle_t *)&publisher->async, on_async_closed);
    return NULL;
}

int
publisher_submit(struct publisher *publisher, struct publisher_job *job)
{
    if (publisher->pending == PUBLISHER_JOBS_MAX)
        return -1;
    job->ids = calloc(job->rows.count, sizeof *job->ids);
    if (job->ids == NULL)
        return -1;
    job->until_ns = uv_hrtime() + (uint64_t)PUBLISHER_WAIT_MS * 1000000;
    queue_link_init(&job->link);
    publisher->pending++;
    uv_mutex_lock(&publisher->mutex);
    queue_push(&publisher->waiting, &job->link);
    uv_cond_signal(&publisher->cond);
    uv_mutex_unlock(&publisher->mutex);
    return 0;
}

size_t
publisher_pending(const struct publisher *publisher)
{
    return publisher->pending;
}

void
publisher_free(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    uv_mutex_lock(&publisher->mutex);
    publisher->ending = true;
    uv_cond_signal(&publisher->cond);
    uv_mutex_unlock(&publisher->mutex);
    uv_thread_join(&publisher->thread);
    deliver(publisher);
    uv_close((uv_handle_t *)&publisher->async, on_async_closed);
}
