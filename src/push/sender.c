/* sender.c - the sender's turns: the database, the log and the subscriptions; see push/sender.h.
 * push/deliver.c makes and sends the messages. push/notes.c writes each result into the table.
 *
 * One connection reads and writes. No call waits long for a lock: what is locked now is tried again
 * at the next turn. */
#include "config.h"

#include "push/sender_state.h"

#include <stdlib.h>

#include "base/clock.h"

#define BUSY_MS 50
#define PAGE_ROWS 500
#define TURN_PAGES 20
#define TICK_MS 100
#define SECOND_MS 1000
/* The table is compared at most so often that it takes a twentieth of the time. */
#define SYNC_SHARE 20

/* --- the database ------------------------------------------------------------------- */

void
sender_tell_trouble(struct sender *sender, const struct error *error)
{
    if (!sender->is_trouble_told)
        log_line(sender->config.log, LOG_WARN, "%s; tried again", error->text);
    sender->is_trouble_told = true;
}

static void
close_store(struct sender *sender)
{
    push_table_close(sender->table);
    store_close(sender->store);
    sender->table = NULL;
    sender->store = NULL;
}

static int
open_store(struct sender *sender, struct error *error)
{
    const struct store_config config = {.path = sender->config.path,
                                        .table = sender->config.table,
                                        .mode = STORE_WRITE,
                                        .busy_ms = BUSY_MS,
                                        .max_event_bytes = 65536,
                                        .keep_wal = true};
    sender->store = store_open(&config, NULL, error);
    if (sender->store != NULL)
        sender->table = push_table_open(sender->store, error);
    if (sender->table == NULL)
        close_store(sender);
    sender->must_reload = true;
    return sender->table != NULL ? 0 : -1;
}

/* Starts from what the table says: at first, and when it has another history than what is in
 * memory (a backup was put back, the file was replaced). */
static enum store_result
reload(struct sender *sender, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_read_marks(sender->store, &marks, error);
    if (result == STORE_OK)
        result = store_cursor_at_tail(sender->store, &marks, &sender->cursor, error);
    if (result != STORE_OK)
        return result;
    subscribers_clear(&sender->subscribers);
    queue_init(&sender->dirty);
    recent_reset(&sender->recent, sender->cursor.id);
    sender->must_reload = false;
    sender->must_sync = true;
    sender->sync_due_ms = 0;
    return STORE_OK;
}

/* --- reading ------------------------------------------------------------------------ */

static enum store_step
take_row(void *arg, const struct row *row)
{
    struct sender *sender = arg;
    recent_append(&sender->recent, row);
    return STORE_MORE;
}

/* Rows that were pruned are gone for everybody. Another history is another matter. */
static enum store_step
take_gap(void *arg, const struct gap *gap)
{
    struct sender *sender = arg;
    if (gap->reason != GAP_RESET)
        return STORE_MORE;
    sender->must_reload = true;
    return STORE_STOP;
}

static enum store_result
read_new(struct sender *sender, bool *is_complete, struct error *error)
{
    struct store_log log = {.range = {.up_to = ROW_ID_MAX,
                                      .max_rows = PAGE_ROWS,
                                      .row = take_row,
                                      .arg = sender},
                            .gap = take_gap};
    enum store_result result = STORE_OK;
    for (int i = 0; i < TURN_PAGES && result == STORE_OK && !log.progress.complete &&
                    !sender->must_reload;
         i++)
        result = store_read_log(sender->store, &sender->cursor, &log, error);
    *is_complete = log.progress.complete;
    return result;
}

static enum store_result
compare_table(struct sender *sender, struct error *error)
{
    const struct sync_times times = {clock_unix_ms(), uv_now(sender->loop),
                                     sender->cursor.id};
    if (!sender->must_sync || uv_now(sender->loop) < sender->sync_due_ms)
        return STORE_OK;
    uint64_t began = uv_hrtime();
    enum store_result result =
        subscribers_sync(&sender->subscribers, sender->table, &times, error);
    uint64_t took_ms = (uv_hrtime() - began) / 1000000;
    sender->must_sync = result != STORE_OK;
    sender->sync_due_ms = uv_now(sender->loop) + took_ms * SYNC_SHARE;
    return result;
}

/* Those that have rows behind their cursor and need not wait. */
static void
queue_all(struct sender *sender)
{
    for (size_t i = 0; i < sender->subscribers.count; i++) {
        struct subscriber *subscriber = sender->subscribers.items[i];
        if (subscriber->is_over && subscriber->place == SUBSCRIBER_IDLE) {
            sender_end(sender, subscriber);
            i--;
            continue;
        }
        deliver_later(sender, subscriber);
    }
}

/* So that the end of a stream is seen when it comes, and the grace counts from there. */
static enum store_result
look_who_is_there(struct sender *sender, struct error *error)
{
    bool matters = false;
    for (size_t i = 0; i < sender->subscribers.count && !matters; i++)
        matters = sender->subscribers.items[i]->absent;
    if (!matters)
        return STORE_OK;
    return presence_look(&sender->presence, sender->table, uv_now(sender->loop), error);
}

/* --- turns -------------------------------------------------------------------------- */

static enum store_result
read_all(struct sender *sender, bool *more, struct error *error)
{
    bool is_complete = true;
    enum store_result result = STORE_OK;
    if (sender->must_reload)
        result = reload(sender, error);
    if (result == STORE_OK)
        result = read_new(sender, &is_complete, error);
    if (result == STORE_OK && sender->must_reload)
        result = reload(sender, error);
    if (result == STORE_OK)
        result = compare_table(sender, error);
    if (result == STORE_OK)
        result = look_who_is_there(sender, error);
    *more = !is_complete;
    return result;
}

static bool
turn(struct sender *sender)
{
    struct error error = {""};
    bool changed = false, more = false;
    enum store_result result = store_changed(sender->store, &changed, &error);
    if (result == STORE_OK && changed)
        sender->must_sync = true;
    if (result == STORE_OK)
        result = read_all(sender, &more, &error);
    queue_all(sender);
    deliver_all(sender);
    if (result == STORE_OK)
        sender->is_trouble_told = false;
    if (result == STORE_FAILED) {
        sender_tell_trouble(sender, &error);
        close_store(sender); /* reopened at the next turn */
    }
    return changed || more;
}

bool
sender_look(void *arg, enum watch_reason reason)
{
    struct sender *sender = arg;
    struct error error = {""};
    if (sender->store != NULL && reason == WATCH_FILES && store_has_moved(sender->store))
        close_store(sender);
    if (sender->store == NULL && open_store(sender, &error) != 0) {
        sender_tell_trouble(sender, &error);
        return false;
    }
    return turn(sender);
}

/* Waits that are over; the results of messages go into the table. */
static void
on_tick(uv_timer_t *timer)
{
    struct sender *sender = timer->data;
    sender_flush_notes(sender);
    if (sender->store == NULL || sender->must_reload)
        return;
    queue_all(sender);
    deliver_all(sender);
}

/* --- life --------------------------------------------------------------------------- */

struct sender *
sender_new(uv_loop_t *loop, const struct sender_config *config, struct error *error)
{
    struct sender *sender = calloc(1, sizeof *sender);
    if (sender == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    sender->loop = loop;
    sender->config = *config;
    sender->services = (struct services){.keys = config->keys, .subject = config->subject};
    sender->subscribers = (struct subscribers){
        .services = &sender->services, .hosts = config->hosts, .log = config->log};
    queue_init(&sender->ready);
    queue_init(&sender->dirty);
    queue_init(&sender->ended);
    if (hash_key_make(&sender->subscribers.key, error) == 0 &&
        hash_key_make(&sender->presence.key, error) == 0)
        sender->transport = transport_new(loop, config->ca_file, error);
    if (sender->transport == NULL) {
        free(sender);
        return NULL;
    }
    uv_timer_init(loop, &sender->tick);
    sender->tick.data = sender;
    uv_timer_start(&sender->tick, on_tick, TICK_MS, TICK_MS);
    return sender;
}

int
sender_open(struct sender *sender, struct error *error)
{
    return open_store(sender, error);
}

struct sender_counts
sender_count(const struct sender *sender)
{
    struct sender_counts counts = sender->counts;
    counts.subscriptions = (int64_t)sender->subscribers.count;
    for (size_t i = 0; i < sender->subscribers.count; i++) {
        const struct subscriber *subscriber = sender->subscribers.items[i];
        counts.queued += subscriber->place != SUBSCRIBER_IDLE;
        counts.waiting += subscriber->place == SUBSCRIBER_IDLE && subscriber->failures > 0;
    }
    return counts;
}

void
sender_free_rest(struct sender *sender)
{
    if (!sender->is_closed || sender->open > 0)
        return;
    subscribers_clear(&sender->subscribers);
    services_fini(&sender->services);
    presence_fini(&sender->presence);
    recent_fini(&sender->recent);
    free(sender);
}

static void
on_tick_closed(uv_handle_t *handle)
{
    struct sender *sender = handle->data;
    sender->is_closed = true;
    sender_free_rest(sender);
}

void
sender_free(struct sender *sender)
{
    if (sender == NULL)
        return;
    sender->is_ending = true;
    sender_flush_notes(sender);
    transport_free(sender->transport);
    close_store(sender);
    sender_forget_notes(sender, SIZE_MAX);
    uv_close((uv_handle_t *)&sender->tick, on_tick_closed);
}
