/* presence.c - from streams that come and go to the tables of presence; see people/presence.h.
 *
 * The loop's side gathers changes for one interval and hands them over as a batch, once the batch
 * before is taken; the thread keeps what it has taken until it is committed. A lease that is not
 * there any more (the database was replaced, or this process slept so long that it was taken for
 * dead) makes the loop send everything again. */
#include "config.h"

#include "people/presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "people/here.h"
#include "people/presence_table.h"

#define MS UINT64_C(1000000)
#define INTERVAL_MS UINT64_C(200) /* between two transactions, times the workers */
#define INTERVAL_MAX_MS UINT64_C(2000)
#define SWEEP_MS 1000
#define RETRY_MAX_MS 2000
#define BATCH_MAX 4000
#define WORK_NS (10 * MS) /* the lock is held for about so long */
#define WORK_STEP 32      /* changes between two looks at the clock */

struct presence {
    struct presence_config config;
    struct writer_kind kind;
    uint64_t interval_ms;
    char name[PRESENCE_NAME_MAX];
    char dead
        [PRESENCE_NAME_MAX]; /* the predecessor; the thread's: empty when it is buried */

    /* The loop's. */
    uv_loop_t *loop;
    uv_timer_t timer; /* runs while there are changes */
    uv_async_t wants_all;
    int handles;
    struct here *here;

    uv_mutex_t mutex;
    struct here_change *batch; /* mutex; the loop gives, the thread takes */
    bool is_anyone_here;       /* mutex */

    /* The writer thread's own. */
    struct here_change *work; /* taken, and not committed yet */
    bool has_lease;
    uint64_t next_ns; /* not before: the interval */
    uint64_t renew_ns;
    uint64_t sweep_ns;
    struct error refused; /* as it was last logged */
};

/* --- the loop's side ----------------------------------------------------------------- */

static struct here_change *
take_changes(struct presence *presence)
{
    struct here_change *first = NULL;
    struct here_change **end = &first;
    bool failed = false;
    for (int i = 0; i < BATCH_MAX && !failed; i++) {
        *end = here_take(presence->here, &failed);
        if (*end == NULL)
            break;
        end = &(*end)->next;
    }
    return first;
}

static bool
has_batch(struct presence *presence)
{
    uv_mutex_lock(&presence->mutex);
    bool has = presence->batch != NULL;
    uv_mutex_unlock(&presence->mutex);
    return has;
}

static void
hand_over(struct presence *presence)
{
    struct here_change *batch = take_changes(presence);
    uv_mutex_lock(&presence->mutex);
    presence->batch = batch;
    presence->is_anyone_here = here_count(presence->here) > 0;
    uv_mutex_unlock(&presence->mutex);
    writer_wake(presence->config.writer);
}

static void
on_timer(uv_timer_t *timer)
{
    struct presence *presence = timer->data;
    if (!here_has_changes(presence->here)) {
        uv_timer_stop(timer);
        return;
    }
    if (!has_batch(presence))
        hand_over(presence);
}

/* The first change goes at once, those that follow it in one batch. */
static void
note_change(struct presence *presence)
{
    if (presence->config.users != NULL)
        *presence->config.users = here_users(presence->here);
    if (!uv_is_active((uv_handle_t *)&presence->timer))
        uv_timer_start(&presence->timer, on_timer, 0, presence->interval_ms);
}

static struct here_stream
stream_of(const struct hub_reader *reader)
{
    return (struct here_stream){reader->user, reader->address, reader->channels};
}

static void *
on_opened(void *arg, const struct hub_reader *reader)
{
    struct presence *presence = arg;
    const struct here_stream stream = stream_of(reader);
    void *mark = here_open(presence->here, &stream, clock_unix_ms());
    note_change(presence);
    return mark;
}

static void
on_closed(void *arg, void *mark, const struct hub_reader *reader)
{
    struct presence *presence = arg;
    const struct here_stream stream = stream_of(reader);
    here_close(presence->here, mark, &stream);
    note_change(presence);
}

static void
on_wants_all(uv_async_t *async)
{
    struct presence *presence = async->data;
    here_tell_all(presence->here);
    note_change(presence);
}

/* --- the writer's thread ------------------------------------------------------------- */

static void
free_changes(struct here_change *change, const struct here_change *end)
{
    while (change != end) {
        struct here_change *next = change->next;
        free(change);
        change = next;
    }
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
    free_changes(presence->work, turn->end);
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
    if (presence->work != NULL || has_batch(presence) || presence->dead[0] != '\0')
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

/* --- life ---------------------------------------------------------------------------- */

int
presence_check(struct store *store, struct error *error)
{
    return presence_table_check(store, error) == STORE_OK ? 0 : -1;
}

/* A name that no other process has, nor had. */
static void
choose_name(struct presence *presence)
{
    unsigned char bytes[16] = {0};
    uv_random(NULL, NULL, bytes, sizeof bytes, 0, NULL);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(presence->name + 2 * i, 3, "%02x", bytes[i]);
    if (presence->config.name == NULL)
        return;
    memcpy(presence->dead, presence->config.name, PRESENCE_NAME_MAX);
    memcpy(presence->config.name, presence->name, PRESENCE_NAME_MAX);
}

/* Rows that readers may have seen must not be taken back by a power cut: their ids would be given
 * again. */
static void
add_kind(struct presence *presence)
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

static void
set_up_loop(struct presence *presence, uv_loop_t *loop)
{
    const struct hub_watcher watcher = {on_opened, on_closed, presence};
    presence->loop = loop;
    uv_timer_init(loop, &presence->timer);
    presence->timer.data = presence;
    presence->wants_all.data = presence;
    presence->handles = 2;
    hub_watch_readers(presence->config.hub, &watcher);
}

struct presence *
presence_new(uv_loop_t *loop, const struct presence_config *config, struct error *error)
{
    struct presence *presence = calloc(1, sizeof *presence);
    if (presence == NULL || uv_mutex_init(&presence->mutex) != 0) {
        error_set(error, "out of memory");
        free(presence);
        return NULL;
    }
    presence->config = *config;
    /* With rows to tell each transaction waits for the disk, while it has the lock. */
    presence->interval_ms =
        INTERVAL_MS * config->workers * (config->channel != NULL ? 2 : 1);
    if (presence->interval_ms > INTERVAL_MAX_MS)
        presence->interval_ms = INTERVAL_MAX_MS;
    presence->here = here_new(error);
    if (presence->here == NULL ||
        uv_async_init(loop, &presence->wants_all, on_wants_all) != 0) {
        here_free(presence->here);
        uv_mutex_destroy(&presence->mutex);
        free(presence);
        return NULL;
    }
    set_up_loop(presence, loop);
    choose_name(presence);
    add_kind(presence);
    return presence;
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct presence *presence = handle->data;
    if (--presence->handles > 0)
        return;
    free_changes(presence->work, NULL);
    free_changes(presence->batch, NULL);
    here_free(presence->here);
    uv_mutex_destroy(&presence->mutex);
    free(presence);
}

void
presence_free(struct presence *presence)
{
    if (presence == NULL)
        return;
    uv_close((uv_handle_t *)&presence->timer, on_handle_closed);
    uv_close((uv_handle_t *)&presence->wants_all, on_handle_closed);
}
