/* queue.c - writes what is published over HTTP, when the writer gives it a turn; see
 * publish/queue.h.
 *
 * Jobs go from `waiting` (mutex) to a batch that is the writer thread's own, and from there to
 * `finished` (mutex), which the loop empties when the async handle wakes it. A turn is one
 * transaction: the whole batch, or one job of it after the batch as a whole has failed. */
#include "config.h"

#include "publish/queue.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MAX_MS 1000
#define RETRY_OPTIONAL_MAX_MS 60000

struct publish_queue {
    struct writer_kind kind;
    struct writer *writer;
    uv_async_t async;
    uv_mutex_t mutex;
    struct queue waiting;  /* mutex */
    struct queue finished; /* mutex */
    size_t pending;        /* the loop's */
    struct publish_queue_owner owner;

    /* The writer thread's own. */
    struct queue batch;
    bool one_by_one; /* the batch as a whole has failed: one spoils it for the others */
};

/* --- the writer's thread: jobs ------------------------------------------------------- */

static struct publish_job *
first_job(const struct queue *batch)
{
    struct queue_link *link = queue_head(batch);
    return link == NULL ? NULL : queue_item(link, struct publish_job, link);
}

static void
finish_job(struct publish_queue *queue, struct publish_job *job, enum publish_result result,
           const struct error *error)
{
    job->result = result;
    job->error = *error;
    uv_mutex_lock(&queue->mutex);
    queue_push(&queue->finished, &job->link);
    uv_mutex_unlock(&queue->mutex);
    uv_async_send(&queue->async);
}

static void
finish_all(struct publish_queue *queue, enum publish_result result,
           const struct error *error)
{
    struct publish_job *job;
    while ((job = first_job(&queue->batch)) != NULL)
        finish_job(queue, job, result, error);
}

/* Those whose time is over. Oldest first, so the first that may keep waiting is followed by
 * such. */
static void
finish_late(struct publish_queue *queue, const struct error *error)
{
    uint64_t now = uv_hrtime();
    struct publish_job *job;
    while ((job = first_job(&queue->batch)) != NULL && job->until_ns <= now)
        finish_job(queue, job, PUBLISH_BUSY, error);
}

/* A batch that is begun is not added to, or its jobs would wait for ever newer ones. */
static void
take_jobs(struct publish_queue *queue)
{
    struct queue_link *link;
    if (queue_head(&queue->batch) != NULL)
        return;
    queue->one_by_one = false;
    uv_mutex_lock(&queue->mutex);
    while ((link = queue_head(&queue->waiting)) != NULL)
        queue_push(&queue->batch, link);
    uv_mutex_unlock(&queue->mutex);
}

static bool
is_single(const struct queue *batch)
{
    const struct queue_link *head = queue_head(batch);
    return head != NULL && head->next == &batch->ends;
}

/* --- the writer's thread: writing ---------------------------------------------------- */

static enum store_result
insert_job(struct store *store, struct publish_job *job, struct error *error)
{
    enum store_result result = STORE_OK;
    if (job->write != NULL)
        return job->write(job, store, error);
    for (size_t i = 0; i < job->rows.count && result == STORE_OK; i++) {
        struct row row;
        publish_rows_get(&job->rows, i, &row);
        result = store_insert(store, &row, &job->ids[i], error);
    }
    return result;
}

/* The batch, or its first job, in one transaction. *refused: it is the table that will not have a
 * row, and *error has its words. */
static enum store_result
write_transaction(struct publish_queue *queue, struct store *store, bool *refused,
                  struct error *error)
{
    enum store_result result = store_begin_write(store, error);
    struct queue_link *link = queue_head(&queue->batch);
    while (result == STORE_OK && link != &queue->batch.ends) {
        result = insert_job(store, queue_item(link, struct publish_job, link), error);
        link = queue->one_by_one ? &queue->batch.ends : link->next;
    }
    if (result == STORE_OK)
        result = store_commit(store, error);
    const char *refusal = result == STORE_FAILED ? store_refusal(store) : NULL;
    *refused = refusal != NULL;
    if (*refused)
        error_set(error, "the table refuses the row: %s", refusal);
    if (result != STORE_OK)
        store_rollback(store);
    return result;
}

static enum store_result
publish_queue_work(void *arg, struct store *store, struct error *error)
{
    struct publish_queue *queue = arg;
    bool refused;
    take_jobs(queue);
    struct publish_job *first = first_job(&queue->batch);
    if (first == NULL)
        return STORE_OK;
    bool is_alone = queue->one_by_one || is_single(&queue->batch);
    enum store_result result = write_transaction(queue, store, &refused, error);
    if (result == STORE_BUSY) {
        finish_late(queue, error);
        return STORE_BUSY;
    }
    if (result == STORE_FAILED && !is_alone) {
        queue->one_by_one = true;
        return STORE_OK;
    }
    enum publish_result outcome = result == STORE_OK ? PUBLISH_DONE
                                  : refused          ? PUBLISH_REFUSED
                                                     : PUBLISH_FAILED;
    if (queue->one_by_one)
        finish_job(queue, first, outcome, error);
    else
        finish_all(queue, outcome, error);
    return outcome == PUBLISH_FAILED ? STORE_FAILED : STORE_OK;
}

static void
publish_queue_go_without(void *arg, enum store_result result, const struct error *error)
{
    struct publish_queue *queue = arg;
    take_jobs(queue);
    if (result == STORE_FAILED)
        finish_all(queue, PUBLISH_FAILED, error);
    else
        finish_late(queue, error);
}

static void
publish_queue_end(void *arg, struct store *store, enum store_result result,
                  const struct error *error)
{
    struct publish_queue *queue = arg;
    struct error last = *error;
    do {
        take_jobs(queue);
        if (store != NULL)
            result = publish_queue_work(queue, store, &last);
        if (result != STORE_OK)
            finish_all(queue, result == STORE_BUSY ? PUBLISH_BUSY : PUBLISH_FAILED, &last);
    } while (queue_head(&queue->batch) != NULL || queue_head(&queue->waiting) != NULL);
}

static uint64_t
publish_queue_due_ns(void *arg)
{
    struct publish_queue *queue = arg;
    uv_mutex_lock(&queue->mutex);
    bool waits = queue_head(&queue->waiting) != NULL;
    uv_mutex_unlock(&queue->mutex);
    return waits || queue_head(&queue->batch) != NULL ? 0 : WRITER_NEVER;
}

static const struct writer_kind kind = {
    .failing = "cannot store what is published, it is tried again",
    .working = "what is published is stored again",
    .is_vital = true,
    .durability = STORE_DURABLE,
    .retry_max_ms = RETRY_MAX_MS,
    .due_ns = publish_queue_due_ns,
    .work = publish_queue_work,
    .go_without = publish_queue_go_without,
    .end = publish_queue_end,
};

/* --- the loop's side ----------------------------------------------------------------- */

static void
deliver(struct publish_queue *queue)
{
    struct queue_link *link;
    for (;;) {
        uv_mutex_lock(&queue->mutex);
        link = queue_head(&queue->finished);
        if (link != NULL)
            queue_remove(link);
        uv_mutex_unlock(&queue->mutex);
        if (link == NULL)
            return;
        queue->pending--;
        queue->owner.done(queue->owner.arg, queue_item(link, struct publish_job, link));
    }
}

static void
on_finished(uv_async_t *async)
{
    deliver(async->data);
}

static void
on_async_closed(uv_handle_t *handle)
{
    struct publish_queue *queue = handle->data;
    uv_mutex_destroy(&queue->mutex);
    free(queue);
}

static struct writer_kind
kind_of(const struct publish_queue_words *optional)
{
    struct writer_kind wanted = kind;
    if (optional == NULL)
        return wanted;
    wanted.failing = optional->failing;
    wanted.working = optional->working;
    wanted.is_vital = false;
    wanted.is_lazy = true;
    wanted.retry_max_ms = RETRY_OPTIONAL_MAX_MS;
    return wanted;
}

struct publish_queue *
publish_queue_new(uv_loop_t *loop, struct writer *writer,
                  const struct publish_queue_owner *owner, struct error *error)
{
    struct publish_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL || uv_mutex_init(&queue->mutex) != 0) {
        error_set(error, "out of memory");
        free(queue);
        return NULL;
    }
    if (uv_async_init(loop, &queue->async, on_finished) != 0) {
        error_set(error, "out of descriptors");
        uv_mutex_destroy(&queue->mutex);
        free(queue);
        return NULL;
    }
    queue->async.data = queue;
    queue->owner = *owner;
    queue->kind = kind_of(owner->optional);
    queue_init(&queue->waiting);
    queue_init(&queue->finished);
    queue_init(&queue->batch);
    queue->writer = writer;
    writer_add(writer, &queue->kind, queue);
    return queue;
}

int
publish_queue_submit(struct publish_queue *queue, struct publish_job *job)
{
    if (queue->pending == PUBLISH_JOBS_MAX)
        return -1;
    if (job->rows.count > 0) {
        job->ids = calloc(job->rows.count, sizeof *job->ids);
        if (job->ids == NULL)
            return -1;
    }
    job->until_ns = uv_hrtime() + (uint64_t)PUBLISH_WAIT_MS * 1000000;
    queue_link_init(&job->link);
    queue->pending++;
    uv_mutex_lock(&queue->mutex);
    queue_push(&queue->waiting, &job->link);
    uv_mutex_unlock(&queue->mutex);
    writer_wake(queue->writer);
    return 0;
}

size_t
publish_queue_pending(const struct publish_queue *queue)
{
    return queue->pending;
}

void
publish_queue_free(struct publish_queue *queue)
{
    if (queue == NULL)
        return;
    deliver(queue);
    uv_close((uv_handle_t *)&queue->async, on_async_closed);
}
