/* presence_writer.c - the writer thread's side of presence: batches of changes become rows.
 *
 * publish/writer.c calls it as one of its kinds of work. Each turn is one transaction: it renews
 * the worker's lease, writes changes for some milliseconds, and deletes what dead workers have
 * left. What was taken from the loop is kept until it is committed. A lease that has gone (the
 * database was replaced, or this process slept so long that another took it for dead) makes the
 * loop send everything again. Its SQL is in people/presence_table.c. */
#include "config.h"

#include "people/presence_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "people/presence_table.h"

#define MS UINT64_C(1000000)
#define SWEEP_MS 1000
#define RETRY_MAX_MS 2000
#define WORK_NS (10 * MS) /* the lock is held for about so long */
#define WORK_STEP 32      /* changes between two looks at the clock */

void
presence_free_changes(struct here_change *change, const struct here_change *end)
{
    while (change != end) {
        struct here_change *next = change->next;
        free(change);
        change = next;
    }
}

bool
presence_has_batch(struct presence *presence)
{
    uv_mutex_lock(&presence->mutex);
    bool has = presence->batch != NULL;
    uv_mutex_unlock(&presence->mutex);
    return has;
}

static bool
take_batch(struct presence *presence)
{
    uv_mutex_lock(&presence->mutex);
    if (presence->work == NULL) {
        presence->work = presence->batch;
        presence->batch = NULL;
    }
    bool is_anyone_here = presence->is_anyone_here;
    uv_mutex_unlock(&presence->mutex);
    return is_anyone_here;
}

/* Writes changes until the time is over. *end: the first that is not written. */
static enum store_result
put_changes(struct presence *presence, struct presence_table *table,
            struct here_change **end, struct error *error)
{
    enum store_result result;
    uint64_t until = uv_hrtime() + WORK_NS;
    struct presence_put *put = presence_put_begin(table, &result, error);
    struct here_change *change = presence->work;
    for (int i = 1; result == STORE_OK && change != NULL; i++) {
        result = presence_put(put, change, error);
        change = change->next;
        if (i % WORK_STEP == 0 && uv_hrtime() >= until)
            break;
    }
    presence_put_finish(put);
    *end = change;
    return result;
}

/* What one transaction is to do. */
struct turn {
    bool renews;
    bool ends; /* no reader is here any more */
    bool sweeps;
    struct here_change *end; /* out: the first change that is not written */
    bool lost_lease;         /* out */
};

static enum store_result
write_lease(struct presence *presence, struct presence_table *table, struct turn *turn,
            struct error *error)
{
    bool was_there = true;
    enum store_result result = STORE_OK;
    if (turn->renews)
        result = presence_table_renew(table, &was_there, error);
    turn->lost_lease = presence->has_lease && !was_there;
    return result;
}

static enum store_result
write_turn(struct presence *presence, struct presence_table *table, struct turn *turn,
           struct error *error)
{
    enum store_result result = store_begin_write(table->store, error);
    if (result == STORE_OK)
        result = write_lease(presence, table, turn, error);
    turn->end = presence->work;
    if (result == STORE_OK && presence->work != NULL)
        result = put_changes(presence, table, &turn->end, error);
    if (result == STORE_OK && turn->sweeps)
        result = presence_table_sweep(
            table, presence->dead[0] != '\0' ? presence->dead : NULL, error);
    if (result == STORE_OK && turn->ends && turn->end == NULL)
        result = presence_table_end(table, error);
    if (result == STORE_OK)
        result = store_commit(table->store, error);
    if (result != STORE_OK)
        store_rollback(table->store);
    return result;
}

static void
tell_refusal(struct presence *presence, const struct presence_table *table)
{
    if (table->refused.text[0] == '\0' ||
        strcmp(presence->refused.text, table->refused.text) == 0)
        return;
    presence->refused = table->refused;
    log_line(presence->config.log, LOG_WARN,
             "the table refuses rows of --presence-channel: %s", table->refused.text);
}

/* The turn is committed. */
static void
book_turn(struct presence *presence, const struct turn *turn, uint64_t began)
{
    presence_free_changes(presence->work, turn->end);
    presence->work = turn->end;
    presence->next_ns = began + presence->interval_ms * MS;
    if (turn->renews)
        presence->renew_ns = began + PRESENCE_RENEW_MS * MS;
    if (turn->sweeps)
        presence->dead[0] = '\0';
    if (turn->renews)
        presence->has_lease = !turn->ends || turn->end != NULL;
    if (turn->lost_lease)
        uv_async_send(&presence->wants_all);
}

/* Whether a look finds users who are gone. Reads only, so that a database in which nothing
 * happens is not written. */
static enum store_result
look_around(struct presence *presence, struct presence_table *table, bool *has_work,
            struct error *error)
{
    uint64_t now = uv_hrtime();
    *has_work = presence->dead[0] != '\0';
    if (*has_work || now < presence->sweep_ns)
        return STORE_OK;
    enum store_result result = presence_table_look(table, has_work, error);
    if (result == STORE_OK)
        presence->sweep_ns = now + SWEEP_MS * MS;
    return result;
}

static enum store_result
presence_work(void *arg, struct store *store, struct error *error)
{
    struct presence *presence = arg;
    struct presence_table table = {.store = store,
                                   .worker = presence->name,
                                   .channel = presence->config.channel,
                                   .now_ms = clock_unix_ms()};
    struct turn turn = {0};
    uint64_t began = uv_hrtime();
    bool is_anyone_here = take_batch(presence);
    enum store_result result = look_around(presence, &table, &turn.sweeps, error);
    if (result != STORE_OK)
        return result;
    turn.ends = presence->has_lease && !is_anyone_here;
    turn.renews = presence->work != NULL || turn.ends ||
                  (presence->has_lease && began >= presence->renew_ns);
    if (!turn.renews && !turn.sweeps)
        return STORE_OK;
    result = write_turn(presence, &table, &turn, error);
    if (result == STORE_OK)
        book_turn(presence, &turn, began);
    tell_refusal(presence, &table);
    return result;
}

static uint64_t
presence_due_ns(void *arg)
{
    struct presence *presence = arg;
    uint64_t due = presence->sweep_ns;
    if (presence->has_lease && presence->renew_ns < due)
        due = presence->renew_ns;
    if (presence->work != NULL || presence_has_batch(presence) || presence->dead[0] != '\0')
        due = 0;
    return due < presence->next_ns ? presence->next_ns : due;
}

/* All that is ours goes, streams that are still open included. */
static void
presence_end(void *arg, struct store *store, enum store_result result,
             const struct error *ignored)
{
    struct presence *presence = arg;
    struct error error;
    struct presence_table table = {.store = store,
                                   .worker = presence->name,
                                   .channel = presence->config.channel,
                                   .now_ms = clock_unix_ms()};
    (void)ignored;
    if (store == NULL || (!presence->has_lease && presence->work == NULL))
        return;
    result = store_begin_write(store, &error);
    if (result == STORE_OK)
        result = presence_table_sweep(&table, presence->name, &error);
    if (result == STORE_OK)
        result = store_commit(store, &error);
    if (result == STORE_OK && presence->config.name != NULL)
        presence->config.name[0] = '\0';
    store_rollback(store);
}

/* Rows that readers may have seen must not be taken back by a power cut: their ids would be given
 * again. */
void
presence_add_work(struct presence *presence)
{
    presence->kind = (struct writer_kind){
        .failing = "cannot write who is here, it is tried again",
        .working = "who is here is written again",
        .durability = presence->config.channel != NULL ? STORE_DURABLE : STORE_LAZY,
        .retry_max_ms = RETRY_MAX_MS,
        .due_ns = presence_due_ns,
        .work = presence_work,
        .end = presence_end,
    };
    writer_add(presence->config.writer, &presence->kind, presence);
}
