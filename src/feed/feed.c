/* feed.c - from "the database may have changed" to rows; see feed/feed.h.
 *
 * serve/serve.c makes it, hub/hub.c takes the rows. A look that fails is an ordinary outcome:
 * streams stay open, and the watch's retries and its fallback tick look again. The tail has not
 * moved, so no row is lost. feed/reopen.c checks that the open files are those at the path,
 * feed/trouble.c reports what is wrong. */
#include "config.h"

#include "feed/internal.h"

#include <stdlib.h>

/* At the start the feed waits for a lock: when several workers start, one recovers the WAL; with a
 * rollback journal a writer may be committing. */
#define START_PATIENCE_MS FEED_BUSY_PATIENCE_MS

/* What comes of one read. */
struct feed_page {
    struct feed *feed;
    size_t bytes;
    int64_t lost_up_to; /* rows up to it were deleted before they were seen; 0: none */
    bool is_other;      /* another database, or an older state of it */
};

static enum store_step
feed_take_gap(void *arg, const struct gap *gap)
{
    struct feed_page *page = arg;
    page->is_other = gap->reason == GAP_RESET;
    page->lost_up_to = page->is_other ? 0 : gap->resumed_at;
    return page->is_other ? STORE_STOP : STORE_MORE;
}

static enum store_step
feed_take_row(void *arg, const struct row *row)
{
    struct feed_page *page = arg;
    page->bytes += row->data.len;
    page->feed->handlers.row(page->feed->arg, row);
    return page->bytes < FEED_PAGE_BYTES ? STORE_MORE : STORE_STOP;
}

static void
feed_reset(struct feed *feed, const struct store_marks *marks)
{
    log_line(
        feed->log, LOG_WARN,
        "the database was replaced or restored (base %lld, highest id %lld): streams get "
        "a gap event and continue from there",
        (long long)marks->base, (long long)marks->tail);
    feed->handlers.reset(feed->arg, marks);
    feed->marks = *marks;
    feed->cursor = store_cursor_at(marks, marks->tail);
}

/* One that is no follower's becomes one by a change of its schema. */
static void
feed_note_follower(struct feed *feed)
{
    struct store_follower follower;
    bool is_follower = false;
    struct error ignored;

    if (store_schema(feed->store) == feed->own_schema)
        return;
    if (store_follower_read(feed->store, &is_follower, &follower, &ignored) != STORE_OK)
        return;
    feed->is_follower = is_follower;
    feed->follower = follower;
    feed->own_schema = is_follower ? -1 : store_schema(feed->store);
}

/* One page of what is new. */
static enum store_result
feed_read_page(struct feed *feed, struct error *error)
{
    struct feed_page page = {.feed = feed};
    struct store_cursor cursor = feed->cursor;
    struct store_log log = {.range = {.up_to = ROW_ID_MAX,
                                      .max_rows = FEED_PAGE_ROWS,
                                      .row = feed_take_row,
                                      .arg = &page},
                            .gap = feed_take_gap};
    enum store_result result = store_read_log(feed->store, &cursor, &log, error);
    if (page.is_other) {
        feed_note_follower(feed);
        feed_reset(feed, &log.marks);
        return STORE_OK;
    }
    feed->more = result != STORE_OK || !log.progress.complete;
    if (result != STORE_OK && log.progress.given.id == 0)
        return result; /* not even the first row was read: try again from the same place */
    feed_note_follower(feed);
    feed->marks = log.marks;
    feed->handlers.batch(feed->arg, &log.marks, cursor.id, page.lost_up_to);
    feed->cursor = cursor;
    return result;
}

bool
feed_look(struct feed *feed)
{
    struct error error = {""};
    bool changed = false;
    if (feed->store == NULL || feed->in_look)
        return false;
    int64_t before = feed->cursor.id;
    feed->in_look = true;
    enum store_result result = store_changed(feed->store, &changed, &error);
    bool has_read = result == STORE_OK && (changed || feed->more);
    if (has_read) {
        /* The page may say otherwise: if the read fails, the rows must not be forgotten. */
        feed->more = true;
        result = feed_read_page(feed, &error);
        feed_tell_fault(feed);
    }
    feed->in_look = false;
    if (has_read && feed->changed != NULL)
        feed->changed(feed->changed_arg);
    if (!feed->more)
        feed->behind_since_ms = 0;
    else if (feed->behind_since_ms == 0)
        feed->behind_since_ms = uv_now(feed->loop);
    /* If the table could not be read just now, it does not matter that nothing was committed. */
    if (has_read || result != STORE_OK || !feed->doubtful)
        feed_report(feed, result, &error);
    /* After a failure the watch's own retries, which grow rarer, are often enough. */
    if (feed->more && result == STORE_OK)
        watch_nudge(feed->watch);
    return feed->cursor.id != before;
}

/* --- when it is called ---------------------------------------------------------------- */

void
feed_reload(struct feed *feed)
{
    feed->doubtful = true;
    feed_check_files(feed);
    feed_look(feed);
}

static bool
on_watch(void *arg, enum watch_reason reason)
{
    struct feed *feed = arg;
    if (reason == WATCH_FILES || feed_is_due(feed))
        feed_check_files(feed);
    return feed_look(feed);
}

static void
on_gate_changed(uv_async_t *async)
{
    struct feed *feed = async->data;
    if (!store_gate_is_shut(feed->gate))
        return;
    feed_check_files(feed);
    feed_look(feed);
}

static void
on_gate(void *arg)
{
    struct feed *feed = arg;
    uv_async_send(&feed->gate_changed);
}

/* --- life ---------------------------------------------------------------------------- */

/* Opens the database and reads where rows continue. */
static enum store_result
feed_begin(struct feed *feed, struct error *error)
{
    bool busy = false;
    feed->store = store_open(&feed->config, &busy, error);
    if (feed->store == NULL)
        return busy ? STORE_BUSY : STORE_FAILED;
    enum store_result result = store_read_marks(feed->store, &feed->marks, error);
    if (result == STORE_OK)
        result = store_cursor_at_tail(feed->store, &feed->marks, &feed->cursor, error);
    if (result == STORE_OK) {
        feed_note_follower(feed);
        return STORE_OK;
    }
    store_close(feed->store);
    feed->store = NULL;
    return result;
}

/* The same; it may wait, because nothing is served yet. */
static int
feed_begin_patiently(struct feed *feed, struct error *error)
{
    enum store_result result = feed_begin(feed, error);
    for (unsigned waited = 0; result == STORE_BUSY && waited < START_PATIENCE_MS;
         waited += OPEN_AGAIN_MS) {
        uv_sleep(OPEN_AGAIN_MS);
        result = feed_begin(feed, error);
    }
    return result == STORE_OK ? 0 : -1;
}

static int
feed_set_up(struct feed *feed, struct error *error)
{
    feed->gate = store_gate_new();
    if (feed->gate == NULL ||
        uv_async_init(feed->loop, &feed->gate_changed, on_gate_changed) != 0)
        return error_set(error, "out of memory or descriptors");
    feed->has_async = true;
    feed->gate_changed.data = feed;
    if (feed_begin_patiently(feed, error) != 0)
        return -1;
    feed_tell_fault(feed);
    feed_watch_strangers(feed);
    feed_check_doubt(feed);
    store_gate_on_change(feed->gate, on_gate, feed);
    store_gate_open(feed->gate, store_opened_files(feed->store));
    return 0;
}

struct feed *
feed_new(uv_loop_t *loop, const struct store_config *config, const struct log *log,
         struct error *error)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    feed->loop = loop;
    feed->config = *config;
    feed->log = log;
    feed->own_schema = -1;
    if (feed_set_up(feed, error) == 0)
        return feed;
    feed_free(feed);
    return NULL;
}

void
feed_confine(struct feed *feed, feed_lost_fn lost, void *arg)
{
    store_folders_note(&feed->folders, feed->config.path);
    feed->lost = lost;
    feed->lost_arg = arg;
}

void
feed_on_change(struct feed *feed, feed_changed_fn changed, void *arg)
{
    feed->changed = changed;
    feed->changed_arg = arg;
}

uint64_t
feed_openings(const struct feed *feed)
{
    return feed->openings;
}

struct store_gate *
feed_gate(const struct feed *feed)
{
    return feed->gate;
}

int
feed_start(struct feed *feed, const struct feed_handlers *handlers, void *arg,
           struct error *error)
{
    feed->handlers = *handlers;
    feed->arg = arg;
    feed->watch = watch_new(feed->loop, feed->config.path, on_watch, feed, error);
    if (feed->watch == NULL)
        return -1;
    if (!watch_has_events(feed->watch))
        log_line(feed->log, LOG_WARN,
                 "no file events on the database's folder: rows are seen once a second");
    return 0;
}

struct store *
feed_store(const struct feed *feed)
{
    return feed->store;
}

const struct store_marks *
feed_marks(const struct feed *feed)
{
    return &feed->marks;
}

const struct store_follower *
feed_follower(const struct feed *feed)
{
    return feed->is_follower ? &feed->follower : NULL;
}

int64_t
feed_tail(const struct feed *feed)
{
    return feed->cursor.id;
}

const char *
feed_path(const struct feed *feed)
{
    return feed->config.path;
}

void
feed_probe(struct feed *feed)
{
    struct error error = {""};
    feed_look(feed);
    if (feed->store != NULL)
        feed_report(feed, store_probe(feed->store, &error), &error);
}

static void
on_async_closed(uv_handle_t *handle)
{
    struct feed *feed = handle->data;
    store_gate_free(feed->gate);
    free(feed);
}

void
feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    watch_free(feed->watch);
    store_close(feed->store);
    if (feed->has_async) {
        uv_close((uv_handle_t *)&feed->gate_changed, on_async_closed);
        return;
    }
    store_gate_free(feed->gate);
    free(feed);
}
