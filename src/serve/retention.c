/* retention.c - deletes old rows beside the application's writer; see serve/retention.h.
 *
 * A round: batches until nothing is left to delete, then free pages are given back (only where
 * the database is one that does so), and a WAL that has grown is emptied. Each batch is a turn of
 * the writer's thread. Its size follows the time that it holds the write lock (efforts); between
 * two batches the application's writer has the lock to itself for some times as long.
 *
 * What it does not do: delete anything while the table lacks what rowcast made (store_fault),
 * because then no trigger notes what is deleted; delete a row that a worker has not read yet, so
 * that a stream at the tail never gets a gap; or delete expired rows from the middle of the table,
 * which would raise the low-water mark above rows that a reader may still come back for. */
#include "config.h"

#include "serve/retention.h"

#include <stdlib.h>
#include <uv.h>

#define BATCH_FIRST 100
#define BATCH_MIN 64 /* a commit that syncs takes its time however few the rows */
#define BATCH_MAX 8000
#define PAUSE_MIN_US 500

#define ROUND_MS 1000     /* between two rounds */
#define ROUND_BUSY_MS 100 /* after one that deleted something */
#define RETRY_MAX_MS 60000
#define LOCK_WAIT_NS UINT64_C(2000000000) /* then not before the next round */

#define WAL_LARGE_BYTES                                                                    \
    (16 * 1024 * 1024) /* SQLite starts again at 4 MB when no reader prevents it */
#define WAL_LOOK_NS UINT64_C(1000000000)
#define VACUUM_PAGES 64

/* A reader whose clock is behind may still be given a row that has just expired by ours. */
#define EXPIRED_GRACE_MS 60000
#define SLACK_PER_ROWS 1000

/* Another worker that has not moved for so long hangs: it delays no other worker any more, as its
 * streams get a gap event when it continues, and a table that grows without bound would be worse.
 * */
#define LAG_MAX_NS UINT64_C(10000000000)

/* How hard it works. A round that does not come to its end has a writer that is faster than that,
 * and a table that grows without bound is worse than a writer that waits a little longer. */
static const struct effort {
    int batches;       /* in a row, from which on it applies */
    int64_t lock_us;   /* what a batch should take */
    uint64_t pause_us; /* for each 1000 µs of it */
} efforts[] = {{0, 2000, 4000}, {50, 4000, 1000}, {100, 8000, 500}, {200, 16000, 300}};

enum phase { DELETING, VACUUMING };

/* The writer thread's own, once the writer is started. */
struct retention {
    struct retention_config config;
    enum phase phase;
    uint64_t next_ns;   /* when the next turn is wanted */
    uint64_t locked_ns; /* since when another process has the write lock; 0: none has */
    int batch;          /* rows, at most, of the next batch */
    int batches;        /* in this round */
    uint64_t wal_looked_ns;
    uint64_t lagging_at; /* the tail of the worker that we wait for */
    uint64_t lagging_since_ns;
};

int
retention_check(const struct retention_config *config, const struct store_marks *marks,
                struct error *error)
{
    if ((config->keep_age_ms == 0 && config->keep_rows == 0) || marks->base != 0)
        return 0;
    return error_set(
        error,
        "--keep-age and --keep-rows: table %s of %s was not made by rowcast, and "
        "only its application may delete its rows: leave these options out",
        config->table, config->path);
}

/* --- a batch ------------------------------------------------------------------------- */

/* Rows above it stay. */
static int64_t
retention_ceiling(struct retention *retention)
{
    const struct retention_config *config = &retention->config;
    uint64_t own = __atomic_load_n(config->tail, __ATOMIC_RELAXED);
    uint64_t lowest = config->lowest_tail == NULL ? own : config->lowest_tail(config->arg);
    uint64_t now = uv_hrtime();

    if (lowest >= own)
        return (int64_t)own;
    if (lowest != retention->lagging_at) {
        retention->lagging_at = lowest;
        retention->lagging_since_ns = now;
    }
    return (int64_t)(now - retention->lagging_since_ns > LAG_MAX_NS ? own : lowest);
}

static struct store_prune
retention_plan(struct retention *retention)
{
    const struct retention_config *config = &retention->config;
    uv_timeval64_t clock = {0};
    uv_gettimeofday(&clock);
    int64_t now_ms = clock.tv_sec * 1000 + clock.tv_usec / 1000;
    return (struct store_prune){
        .older_than_ms = config->keep_age_ms > 0 ? now_ms - config->keep_age_ms : 0,
        .now_ms = now_ms,
        .keep_rows = config->keep_rows,
        .expired_first_ms = now_ms - EXPIRED_GRACE_MS,
        .slack_rows = config->keep_rows / SLACK_PER_ROWS,
        .up_to = retention_ceiling(retention),
        .max_rows = retention->batch,
    };
}

static const struct effort *
effort_after(int batches)
{
    size_t i = sizeof efforts / sizeof *efforts - 1;
    while (batches < efforts[i].batches)
        i--;
    return &efforts[i];
}

/* Books a batch and chooses the size of the next. Returns for how long it held the lock. */
static uint64_t
retention_book(struct retention *retention, const struct store *store, int deleted,
               const struct effort *effort)
{
    const struct retention_config *config = &retention->config;
    int64_t took_us = store_prune_locked_us(store);
    __atomic_fetch_add(config->pruned_rows, (uint64_t)deleted, __ATOMIC_RELAXED);
    __atomic_fetch_add(config->prunes, 1, __ATOMIC_RELAXED);
    if (took_us > effort->lock_us)
        retention->batch /= 2;
    else if (took_us < effort->lock_us / 2 && deleted == retention->batch)
        retention->batch += retention->batch / 2;
    if (retention->batch < BATCH_MIN)
        retention->batch = BATCH_MIN;
    if (retention->batch > BATCH_MAX)
        retention->batch = BATCH_MAX;
    return (uint64_t)took_us;
}

static void
retention_pause(struct retention *retention, uint64_t took_us, const struct effort *effort)
{
    uint64_t us = took_us * effort->pause_us / 1000;
    retention->next_ns = uv_hrtime() + (us < PAUSE_MIN_US ? PAUSE_MIN_US : us) * 1000;
}

/* The WAL's readers are all short ones, so a large WAL is one great transaction's, or that of
 * writers that left each other no moment to start it again. */
static void
retention_trim_wal(struct retention *retention, struct store *store)
{
    struct error error;
    uint64_t now = uv_hrtime();
    if (now - retention->wal_looked_ns < WAL_LOOK_NS)
        return;
    retention->wal_looked_ns = now;
    if (store_wal_bytes(store) > WAL_LARGE_BYTES)
        store_checkpoint(store, &error); /* best effort: there is a next time */
}

/* --- a round ------------------------------------------------------------------------- */

static void
retention_end_round(struct retention *retention, uint64_t rest_ms)
{
    retention->phase = DELETING;
    retention->batches = 0;
    retention->locked_ns = 0;
    retention->next_ns = uv_hrtime() + rest_ms * 1000000;
}

/* Another process has the write lock: STORE_BUSY for another try, STORE_OK when that is enough
 * of it. */
static enum store_result
retention_await_lock(struct retention *retention)
{
    uint64_t now = uv_hrtime();
    if (retention->locked_ns == 0)
        retention->locked_ns = now;
    if (now - retention->locked_ns < LOCK_WAIT_NS)
        return STORE_BUSY;
    retention_end_round(retention, ROUND_MS);
    return STORE_OK;
}

/* Deletes a batch, and goes over to the free pages when there is none. */
static enum store_result
retention_delete(struct retention *retention, struct store *store, struct error *error)
{
    struct store_prune prune = retention_plan(retention);
    int deleted = 0;
    enum store_result result =
        prune.up_to <= 0 ? STORE_OK : store_prune(store, &prune, &deleted, error);
    if (result == STORE_FAILED && store_fault(store) != NULL) {
        retention_end_round(retention, ROUND_MS);
        return STORE_OK; /* the reader says it, in log and health */
    }
    if (result != STORE_OK)
        return result;
    if (deleted == 0) {
        retention->phase = VACUUMING;
        return STORE_OK;
    }
    const struct effort *effort = effort_after(++retention->batches);
    uint64_t took_us = retention_book(retention, store, deleted, effort);
    retention_pause(retention, took_us, effort);
    return STORE_OK;
}

static enum store_result
retention_vacuum(struct retention *retention, struct store *store, struct error *error)
{
    int freed = 0;
    uint64_t began = uv_hrtime();
    enum store_result result = store_vacuum_step(store, VACUUM_PAGES, &freed, error);
    if (result != STORE_OK)
        return result;
    if (freed == 0)
        retention_end_round(retention, retention->batches > 0 ? ROUND_BUSY_MS : ROUND_MS);
    else
        retention_pause(retention, (uv_hrtime() - began) / 1000, effort_after(0));
    return STORE_OK;
}

static enum store_result
retention_work(void *arg, struct store *store, struct error *error)
{
    struct retention *retention = arg;
    enum store_result result = retention->phase == DELETING
                                   ? retention_delete(retention, store, error)
                                   : retention_vacuum(retention, store, error);
    if (result == STORE_BUSY)
        return retention_await_lock(retention);
    retention->locked_ns = 0;
    if (result == STORE_FAILED)
        retention_end_round(retention, ROUND_MS);
    else
        retention_trim_wal(retention, store);
    return result;
}

static uint64_t
retention_due_ns(void *arg)
{
    const struct retention *retention = arg;
    return retention->next_ns;
}

static const struct writer_kind kind = {
    .failing = "cannot delete old rows, serving goes on and it is tried again",
    .working = "old rows are deleted again",
    .durability = STORE_LAZY,
    .retry_max_ms = RETRY_MAX_MS,
    .due_ns = retention_due_ns,
    .work = retention_work,
};

/* --- life ---------------------------------------------------------------------------- */

struct retention *
retention_new(const struct retention_config *config, struct writer *writer)
{
    struct retention *retention = calloc(1, sizeof *retention);
    if (retention == NULL)
        return NULL;
    retention->config = *config;
    retention->batch = BATCH_FIRST;
    writer_add(writer, &kind, retention);
    return retention;
}

void
retention_free(struct retention *retention)
{
    free(retention);
}
