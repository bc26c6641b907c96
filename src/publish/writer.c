/* writer.c - the thread that writes: whose turn it is, locks and failures; see publish/writer.h.
 * publish/write_connection.c opens and closes its connection.
 *
 * SQLite's own busy handler would wait up to 100 ms between two attempts, which against a
 * writer that never rests is hardly ever the right moment; looking every 100 µs costs a few µs
 * each and finds the gap. How long a piece of work may wait for the lock is its kind's affair.
 * The thread is not niced: asleep with the lock held it would hold the application's writer up. */
#include "config.h"

#include "publish/writer.h"

#include "publish/write_connection.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

#define BUSY_FIRST_NS (100 * US)
#define BUSY_FINE_LOOKS 500 /* then rarer */
#define BUSY_LATER_NS (2 * MS)
#define SHUT_NS (20 * MS) /* while the reader reopens the database */
#define RETRY_FIRST_MS 250

/* A kind of work in this writer. Only the thread uses it, except for `trouble`. */
struct slot {
    const struct writer_kind *kind;
    void *arg;
    uint64_t not_before_ns; /* after a lock or a failure */
    uint64_t served_ns;     /* its last turn */
    unsigned looks;         /* in a row that found the database locked */
    uint64_t retry_ms;      /* 0: it does not fail */
    struct error trouble;   /* mutex; empty: none */
};

struct writer {
    struct writer_config config;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t cond;
    bool ending; /* mutex */
    bool has_thread;
    struct slot slots[WRITER_KINDS_MAX];
    size_t count;

    /* The thread's own, and writer_start's before there is a thread. */
    struct write_connection connection;
};

/* --- the connection ------------------------------------------------------------------ */

/* After a failure: whether it would go now. */
static enum store_result
writer_probe(struct writer *writer, struct error *error)
{
    enum store_result result = store_begin_write(writer->connection.store, error);
    store_rollback(writer->connection.store);
    return result;
}

static enum store_result
writer_prepare(struct writer *writer, const struct slot *slot, struct error *error)
{
    enum store_result result = write_connection_check(&writer->connection, error);
    if (result == STORE_OK && slot->retry_ms > 0)
        result = writer_probe(writer, error);
    if (result == STORE_OK)
        result =
            store_set_durability(writer->connection.store, slot->kind->durability, error);
    return result;
}

/* --- failures ------------------------------------------------------------------------ */

static void
slot_set_trouble(struct writer *writer, struct slot *slot, const struct error *error)
{
    uv_mutex_lock(&writer->mutex);
    slot->trouble = *error;
    uv_mutex_unlock(&writer->mutex);
}

static void
slot_succeed(struct writer *writer, struct slot *slot)
{
    slot->not_before_ns = 0;
    slot->looks = 0;
    slot->retry_ms = 0;
    if (slot->trouble.text[0] == '\0')
        return;
    log_line(writer->config.log, LOG_INFO, "%s", slot->kind->working);
    slot_set_trouble(writer, slot, &(struct error){""});
}

static void
slot_await(const struct writer *writer, struct slot *slot)
{
    uint64_t wait_ns = ++slot->looks < BUSY_FINE_LOOKS ? BUSY_FIRST_NS : BUSY_LATER_NS;
    if (writer->connection.store == NULL)
        wait_ns = SHUT_NS;
    slot->not_before_ns = uv_hrtime() + wait_ns;
}

/* Said once for as long as it stays the same. */
static void
slot_fail(struct writer *writer, struct slot *slot, const struct error *error)
{
    slot->retry_ms = slot->retry_ms == 0 ? RETRY_FIRST_MS : slot->retry_ms * 2;
    if (slot->retry_ms > slot->kind->retry_max_ms)
        slot->retry_ms = slot->kind->retry_max_ms;
    slot->not_before_ns = uv_hrtime() + slot->retry_ms * MS;
    slot->looks = 0;
    if (strcmp(slot->trouble.text, error->text) == 0)
        return;
    log_line(writer->config.log, LOG_WARN, "%s: %s", slot->kind->failing, error->text);
    slot_set_trouble(writer, slot, error);
}

static void
slot_book(struct writer *writer, struct slot *slot, enum store_result result,
          const struct error *error)
{
    slot->served_ns = uv_hrtime();
    switch (result) {
    case STORE_OK:
        slot_succeed(writer, slot);
        break;
    case STORE_BUSY:
        slot_await(writer, slot);
        break;
    case STORE_REFUSED:
    case STORE_FAILED: /* whatever it was, the next one starts afresh */
        write_connection_close(&writer->connection);
        slot_fail(writer, slot, error);
        break;
    }
}

/* --- turns --------------------------------------------------------------------------- */

/* When the slot's turn may come. After a failure it is tried again even with nothing to do, so that
 * the health check hears of the end of it. */
static uint64_t
slot_due_ns(const struct slot *slot)
{
    uint64_t due = slot->retry_ms > 0 ? 0 : slot->kind->due_ns(slot->arg);
    return due > slot->not_before_ns ? due : slot->not_before_ns;
}

/* Of those that are due, the one that has waited longest; else *when: the next one is. */
static struct slot *
writer_choose(struct writer *writer, uint64_t now, uint64_t *when)
{
    struct slot *chosen = NULL;
    *when = WRITER_NEVER;
    for (size_t i = 0; i < writer->count; i++) {
        struct slot *slot = &writer->slots[i];
        uint64_t due = slot_due_ns(slot);
        if (due <= now && (chosen == NULL || slot->served_ns < chosen->served_ns))
            chosen = slot;
        if (due < *when)
            *when = due;
    }
    return chosen;
}

/* Waits for a turn. NULL: there is something else to see to, or the end has come. */
static struct slot *
writer_wait(struct writer *writer)
{
    struct slot *slot = NULL;
    uv_mutex_lock(&writer->mutex);
    while (!writer->ending && slot == NULL) {
        uint64_t when;
        uint64_t now = uv_hrtime();
        if (writer->connection.store != NULL && store_gate_is_shut(writer->config.gate))
            break;
        slot = writer_choose(writer, now, &when);
        if (slot != NULL)
            break;
        if (when == WRITER_NEVER)
            uv_cond_wait(&writer->cond, &writer->mutex);
        else
            uv_cond_timedwait(&writer->cond, &writer->mutex, when - now);
    }
    uv_mutex_unlock(&writer->mutex);
    return slot;
}

static void
writer_turn(struct writer *writer, struct slot *slot)
{
    struct error error = {""};
    enum store_result result = writer_prepare(writer, slot, &error);
    if (result == STORE_OK)
        result = slot->kind->work(slot->arg, writer->connection.store, &error);
    else if (slot->kind->go_without != NULL)
        slot->kind->go_without(slot->arg, result, &error);
    slot_book(writer, slot, result, &error);
}

static void
writer_end_slot(struct writer *writer, const struct slot *slot)
{
    struct error error = {""};
    if (slot->kind->end == NULL)
        return;
    enum store_result result = writer_prepare(writer, slot, &error);
    slot->kind->end(slot->arg, result == STORE_OK ? writer->connection.store : NULL, result,
                    &error);
}

static bool
writer_is_ending(struct writer *writer)
{
    uv_mutex_lock(&writer->mutex);
    bool ending = writer->ending;
    uv_mutex_unlock(&writer->mutex);
    return ending;
}

static void
writer_main(void *arg)
{
    struct writer *writer = arg;
    while (!writer_is_ending(writer)) {
        struct slot *slot = writer_wait(writer);
        if (store_gate_is_shut(writer->config.gate))
            write_connection_close(&writer->connection);
        if (slot != NULL)
            writer_turn(writer, slot);
    }
    for (size_t i = 0; i < writer->count; i++)
        writer_end_slot(writer, &writer->slots[i]);
    write_connection_close(&writer->connection);
}

/* --- life ---------------------------------------------------------------------------- */

static void
on_gate(void *arg)
{
    writer_wake(arg);
}

struct writer *
writer_new(const struct writer_config *config)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->config = *config;
    writer->connection = (struct write_connection){
        .path = config->path, .table = config->table, .gate = config->gate};
    if (uv_mutex_init(&writer->mutex) == 0) {
        if (uv_cond_init(&writer->cond) == 0)
            return writer;
        uv_mutex_destroy(&writer->mutex);
    }
    free(writer);
    return NULL;
}

void
writer_add(struct writer *writer, const struct writer_kind *kind, void *arg)
{
    writer->slots[writer->count++] = (struct slot){.kind = kind, .arg = arg};
}

static bool
is_all_lazy(const struct writer *writer)
{
    for (size_t i = 0; i < writer->count; i++)
        if (!writer->slots[i].kind->is_lazy)
            return false;
    return true;
}

/* What is wrong is said at the start: an error where a vital kind of work needs it, else a line in
 * the log. */
static int
writer_try(struct writer *writer, struct error *error)
{
    struct error ignored;
    if (is_all_lazy(writer))
        return 0;
    if (!store_gate_may_write(writer->config.gate, &ignored))
        return 0; /* the reader has said so */
    if (write_connection_check(&writer->connection, error) != STORE_FAILED)
        return 0;
    for (size_t i = 0; i < writer->count; i++) {
        if (writer->slots[i].kind->is_vital)
            return -1;
        if (!writer->slots[i].kind->is_lazy)
            slot_fail(writer, &writer->slots[i], error);
    }
    return 0;
}

/* Signals are the loop's: the thread takes none. */
static int
writer_start_thread(struct writer *writer)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = uv_thread_create(&writer->thread, writer_main, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int
writer_start(struct writer *writer, struct error *error)
{
    int result = writer_try(writer, error);
    if (result == 0 && writer_start_thread(writer) != 0)
        result = error_set(error, "cannot start the thread that writes");
    if (result != 0) {
        write_connection_close(&writer->connection);
        return -1;
    }
    writer->has_thread = true;
    store_gate_on_turn(writer->config.gate, on_gate, writer);
    return 0;
}

void
writer_wake(struct writer *writer)
{
    uv_mutex_lock(&writer->mutex);
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
}

enum writer_health
writer_health(struct writer *writer, struct error *error)
{
    enum writer_health health = WRITER_WELL;
    if (writer == NULL)
        return WRITER_WELL;
    uv_mutex_lock(&writer->mutex);
    for (size_t i = 0; i < writer->count && health != WRITER_FAILS; i++) {
        const struct slot *slot = &writer->slots[i];
        if (slot->trouble.text[0] == '\0')
            continue;
        health = slot->kind->is_vital ? WRITER_FAILS : WRITER_LIMPS;
        error_set(error, "%s: %s", slot->kind->failing, slot->trouble.text);
    }
    uv_mutex_unlock(&writer->mutex);
    return health;
}

void
writer_free(struct writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->has_thread) {
        uv_mutex_lock(&writer->mutex);
        writer->ending = true;
        uv_cond_signal(&writer->cond);
        uv_mutex_unlock(&writer->mutex);
        uv_thread_join(&writer->thread);
        store_gate_on_turn(writer->config.gate, NULL, NULL);
    }
    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    free(writer);
}
