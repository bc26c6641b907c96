/* retention.c - deletes old rows beside the application's writer; see serve/retention.h.
 *
 * A round: batches until nothing is left to delete, then free pages are given back (only where
 * the database is one that does so) and a WAL that has grown is emptied. The size of a batch
 * follows the time that it holds the write lock (efforts); between two batches the writer has the
 * lock to itself for some times as long. SQLite's own busy handler would wait up to 100 ms between
 * two attempts, which against a writer that never rests is hardly ever the right moment; looking
 * every 100 µs costs a few µs each and finds the gap. The thread is not niced: asleep with the
 * lock held it would hold the writer up.
 *
 * What it does not do: delete a row that a worker has not read yet, so that a stream that is at the
 * tail is never told of a gap; or delete expired rows from the middle of the table,
 * which would raise the low-water mark above rows that a reader may still come back for. */
#include "config.h"

#include "serve/retention.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BATCH_FIRST 100
#define BATCH_MIN 64 /* a commit that syncs takes its time however few the rows */
#define BATCH_MAX 8000
#define PAUSE_MIN_US 500

#define ROUND_MS 1000     /* between two rounds */
#define ROUND_BUSY_MS 100 /* after one that deleted something */
#define RETRY_MAX_MS 60000

#define BUSY_FIRST_US 100
#define BUSY_FINE_LOOKS 500 /* then rarer */
#define BUSY_LATER_US 2000
#define BUSY_LOOKS_MAX 1500 /* about two seconds; then not before the next round */

#define WAL_LARGE_BYTES                                                                    \
    (16 * 1024 * 1024) /* SQLite starts anew at 4 MB when nobody is in the way */
#define WAL_LOOK_NS UINT64_C(1000000000)
#define VACUUM_PAGES 64

/* A reader whose clock is behind may still be given a row that has just expired by ours. */
#define EXPIRED_GRACE_MS 60000
#define SLACK_PER_ROWS 1000

/* Another worker that has not moved for so long hangs: it holds nobody up any more, as its streams
 * are told of a gap when it goes on, and a table that grows without bound would be worse. */
#define LAG_MAX_NS UINT64_C(10000000000)

/* How hard it works. A round that does not come to its end has a writer that is faster than that,
 * and a table that grows without bound is worse than a writer that waits a little longer. */
static const struct effort {
    int batches;       /* in a row, from which on it applies */
    int64_t lock_us;   /* what a batch should take */
    uint64_t pause_us; /* for each 1000 µs of it */
} efforts[] = {{0, 2000, 4000}, {50, 4000, 1000}, {100, 8000, 500}, {200, 16000, 300}};

struct retention {
    struct retention_config config;
    const struct log *log;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t wake;
    bool stopping; /* under the mutex, as is the next */
    bool reload;

    /* The thread's own. */
    struct store *store; /* NULL while it cannot be opened */
    bool doubtful;       /* it has failed: open anew */
    struct error trouble;
    int batch;
    uint64_t retry_ms;
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

/* --- the thread's sleep ------------------------------------------------------------------------ */

/* False: it is time to end. */
static bool
retention_sleep_us(struct retention *retention, uint64_t us)
{
    uint64_t until = uv_hrtime() + us * 1000;
    uv_mutex_lock(&retention->mutex);
    for (uint64_t now = uv_hrtime(); !retention->stopping && now < until; now = uv_hrtime())
        uv_cond_timedwait(&retention->wake, &retention->mutex, until - now);
    bool goes_on = !retention->stopping;
    uv_mutex_unlock(&retention->mutex);
    return goes_on;
}

/* The write lock is somebody's. False: enough of waiting. */
static bool
retention_await_lock(struct retention *retention, int *looks)
{
    if (++*looks > BUSY_LOOKS_MAX)
        return false;
    return retention_sleep_us(retention,
                              *looks < BUSY_FINE_LOOKS ? BUSY_FIRST_US : BUSY_LATER_US);
}

/* --- trouble ------------------------------------------------------------------------------------- */

/* Said once for as long as it stays the same. */
static void
retention_fail(struct retention *retention, const struct error *error)
{
    if (strcmp(retention->trouble.text, error->text) != 0) {
        log_line(retention->log, LOG_WARN,
                 "cannot delete old rows, serving goes on and it is tried again: %s",
                 error->text);
        retention->trouble = *error;
    }
    retention->doubtful = true;
    retention->retry_ms = retention->retry_ms == 0 ? ROUND_MS : retention->retry_ms * 2;
    if (retention->retry_ms > RETRY_MAX_MS)
        retention->retry_ms = RETRY_MAX_MS;
}

static void
retention_succeed(struct retention *retention)
{
    if (retention->trouble.text[0] != '\0')
        log_line(retention->log, LOG_INFO, "old rows are deleted again");
    retention->trouble.text[0] = '\0';
    retention->doubtful = false;
    retention->retry_ms = 0;
}

/* --- a round --------------------------------------------------------------------------------------- */

static bool
retention_open(struct retention *retention)
{
    struct store_config config = {.path = retention->config.path,
                                  .table = retention->config.table,
                                  .mode = STORE_WRITE};
    struct error error = {""};
    bool busy = false;

    uv_mutex_lock(&retention->mutex);
    bool reload = retention->reload;
    retention->reload = false;
    uv_mutex_unlock(&retention->mutex);
    if (retention->store != NULL && !reload && !retention->doubtful &&
        !store_has_moved(retention->store))
        return true;
    /* Not opened just to see that it cannot be written: SQLite keeps the descriptor of a closed
     * connection for as long as another one, the feed's, has locks on the file. */
    if (store_diagnose_rights(config.path, STORE_WRITE, &error)) {
        retention_fail(retention, &error);
        return false;
    }
    store_close(retention->store);
    retention->store = store_open(&config, &busy, &error);
    if (retention->store == NULL && busy)
        return false;
    retention->doubtful = false;
    if (retention->store == NULL ||
        store_begin_upkeep(retention->store, &error) == STORE_FAILED) {
        retention_fail(retention, &error);
        return false;
    }
    return true;
}

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
retention_book(struct retention *retention, int deleted, const struct effort *effort)
{
    const struct retention_config *config = &retention->config;
    int64_t took_us = store_prune_locked_us(retention->store);
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

static bool
retention_pause(struct retention *retention, uint64_t took_us, const struct effort *effort)
{
    uint64_t us = took_us * effort->pause_us / 1000;
    return retention_sleep_us(retention, us < PAUSE_MIN_US ? PAUSE_MIN_US : us);
}

/* The WAL's readers are all short ones, so a large WAL is one great transaction's, or that of
 * writers who left each other no moment to start it anew. */
static void
retention_trim_wal(struct retention *retention)
{
    struct error error;
    uint64_t now = uv_hrtime();
    if (now - retention->wal_looked_ns < WAL_LOOK_NS)
        return;
    retention->wal_looked_ns = now;
    if (store_wal_bytes(retention->store) > WAL_LARGE_BYTES)
        store_checkpoint(retention->store, &error); /* best effort: there is a next time */
}

/* Deletes what there is to delete. Returns how many batches that were, or -1: the round is over. */
static int
retention_delete(struct retention *retention)
{
    struct error error = {""};
    int batches = 0;
    int looks = 0;
    for (;;) {
        struct store_prune prune = retention_plan(retention);
        int deleted = 0;
        enum store_result result =
            prune.up_to <= 0 ? STORE_OK
                             : store_prune(retention->store, &prune, &deleted, &error);
        if (result == STORE_BUSY && retention_await_lock(retention, &looks))
            continue;
        if (result == STORE_FAILED)
            retention_fail(retention, &error);
        if (result != STORE_OK)
            return -1;
        if (deleted == 0)
            return batches;
        looks = 0;
        const struct effort *effort = effort_after(++batches);
        if (!retention_pause(retention, retention_book(retention, deleted, effort), effort))
            return -1;
        retention_trim_wal(retention);
    }
}

static void
retention_vacuum(struct retention *retention)
{
    struct error error = {""};
    int looks = 0;
    for (;;) {
        int freed = 0;
        uint64_t began = uv_hrtime();
        enum store_result result =
            store_vacuum_step(retention->store, VACUUM_PAGES, &freed, &error);
        if (result == STORE_BUSY && retention_await_lock(retention, &looks))
            continue;
        if (result == STORE_FAILED)
            retention_fail(retention, &error);
        if (result != STORE_OK || freed == 0 ||
            !retention_pause(retention, (uv_hrtime() - began) / 1000, effort_after(0)))
            return;
    }
}

/* Returns after how many milliseconds the next one is due. */
static uint64_t
retention_round(struct retention *retention)
{
    if (!retention_open(retention))
        return retention->retry_ms > 0 ? retention->retry_ms : ROUND_MS;
    int batches = retention_delete(retention);
    if (batches >= 0)
        retention_vacuum(retention);
    if (retention->doubtful)
        return retention->retry_ms;
    if (batches >= 0)
        retention_succeed(retention);
    retention_trim_wal(retention);
    return batches > 0 ? ROUND_BUSY_MS : ROUND_MS;
}

static void
retention_main(void *arg)
{
    struct retention *retention = arg;
    while (retention_sleep_us(retention, retention_round(retention) * 1000))
        continue;
    store_close(retention->store);
}

/* --- life ------------------------------------------------------------------------------------------ */

struct retention *
retention_new(const struct retention_config *config, const struct log *log,
              struct error *error)
{
    struct retention *retention = calloc(1, sizeof *retention);
    if (retention == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    retention->config = *config;
    retention->log = log;
    retention->batch = BATCH_FIRST;
    if (uv_mutex_init(&retention->mutex) == 0) {
        if (uv_cond_init(&retention->wake) == 0) {
            retention_open(
                retention); /* here, so that what is wrong is said at the start */
            if (uv_thread_create(&retention->thread, retention_main, retention) == 0)
                return retention;
            store_close(retention->store);
            uv_cond_destroy(&retention->wake);
        }
        uv_mutex_destroy(&retention->mutex);
    }
    free(retention);
    error_set(error, "cannot start a thread for --keep-age and --keep-rows");
    return NULL;
}

void
retention_reload(struct retention *retention)
{
    if (retention == NULL)
        return;
    uv_mutex_lock(&retention->mutex);
    retention->reload = true;
    uv_mutex_unlock(&retention->mutex);
}

void
retention_free(struct retention *retention)
{
    if (retention == NULL)
        return;
    uv_mutex_lock(&retention->mutex);
    retention->stopping = true;
    uv_cond_signal(&retention->wake);
    uv_mutex_unlock(&retention->mutex);
    uv_thread_join(&retention->thread);
    uv_cond_destroy(&retention->wake);
    uv_mutex_destroy(&retention->mutex);
    free(retention);
}
