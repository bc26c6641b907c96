/* feed.c - from "the database may have changed" to rows; see feed/feed.h.
 *
 * serve/serve.c makes it, hub/hub.c takes the rows. A failed look is an ordinary outcome: streams
 * stay open, the watch's retries and its fallback tick come back here, and what was missed
 * meanwhile is read then, as the tail has not moved. */
#include "config.h"

#include "feed/feed.h"

#include <stdlib.h>
#include <string.h>

#include "feed/watch.h"

struct feed {
    uv_loop_t *loop;
    struct store_config config;
    const struct log *log;
    struct store *store; /* NULL while it cannot be opened */
    struct watch *watch;
    struct feed_handlers handlers;
    void *arg;
    struct store_marks marks;
    int64_t tail;  /* rows up to this id were handed out */
    bool more;     /* the last look stopped at its page's end */
    bool in_look;  /* handlers must not start another look */
    bool doubtful; /* a read failed: reopen at the next tick */
    size_t replay_page_bytes;
    struct error trouble; /* text empty: none */
    enum store_result trouble_kind;
    uint64_t trouble_since_ms;
    uint64_t behind_since_ms; /* 0: all is handed out */
    uint64_t *errors;         /* counts failed reads, or NULL */
};

static void
feed_set_trouble(struct feed *feed, enum store_result result, const struct error *error)
{
    const char *text = result == STORE_OK ? "" : error->text;
    if (feed->trouble.text[0] == '\0')
        feed->trouble_since_ms = uv_now(feed->loop);
    feed->trouble_kind = result;
    if (strcmp(text, feed->trouble.text) == 0)
        return;
    if (*text != '\0')
        log_line(feed->log, result == STORE_BUSY ? LOG_INFO : LOG_ERROR, "%s", text);
    else
        log_line(feed->log, LOG_INFO, "database readable again");
    error_set(&feed->trouble, "%s", text);
}

static enum store_step
feed_take_row(void *arg, const struct row *row)
{
    struct feed *feed = arg;
    feed->replay_page_bytes += row->data.len;
    feed->handlers.row(feed->arg, row);
    return feed->replay_page_bytes < FEED_PAGE_BYTES ? STORE_MORE : STORE_STOP;
}

/* True when the marks cannot follow on those that we know: another database, or a restored
 * backup, whose ids say nothing about ours. */
static bool
feed_is_other(const struct feed *feed, const struct store_marks *marks)
{
    return marks->base != feed->marks.base || marks->tail < feed->tail;
}

static void
feed_reset(struct feed *feed, const struct store_marks *marks)
{
    log_line(
        feed->log, LOG_WARN,
        "the database was replaced or restored (base %lld, highest id %lld): streams are "
        "told and go on from there",
        (long long)marks->base, (long long)marks->tail);
    feed->handlers.reset(feed->arg, marks);
    feed->marks = *marks;
    feed->tail = marks->tail;
}

/* One page of what is new, marks and rows from one snapshot. */
static enum store_result
feed_read_page(struct feed *feed, struct error *error)
{
    struct store_marks marks;
    enum store_result result = store_begin_read(feed->store, error);
    if (result == STORE_OK)
        result = store_read_marks(feed->store, &marks, error);
    if (result != STORE_OK) {
        store_end_read(feed->store);
        return result;
    }
    if (feed_is_other(feed, &marks)) {
        store_end_read(feed->store);
        feed_reset(feed, &marks);
        return STORE_OK;
    }

    /* What was deleted before we saw it is lost to the streams that listen, and they are told. */
    int64_t lost = marks.low_water > feed->tail ? marks.low_water : 0;
    /* But of a foreign table that was empty the lowest id tells nothing of deletions. */
    if (marks.base == 0 && feed->marks.lowest > feed->tail)
        lost = 0;
    struct store_range range = {.after = lost > 0 ? lost : feed->tail,
                                .up_to = ROW_ID_MAX,
                                .max_rows = FEED_PAGE_ROWS};
    struct store_progress progress = {.last = range.after};
    feed->replay_page_bytes = 0;
    result = store_read_range(feed->store, &range, feed_take_row, feed, &progress, error);
    store_end_read(feed->store);

    feed->more = result != STORE_OK || !progress.complete;
    int64_t tail = progress.complete ? marks.tail : progress.last;
    if (result != STORE_OK && tail == range.after)
        return result; /* not even the first row: try again from the same place */
    feed->marks = marks;
    feed->handlers.batch(feed->arg, &marks, tail, lost);
    feed->tail = tail;
    return result;
}

bool
feed_look(struct feed *feed)
{
    struct error error = {""};
    bool changed = false;
    if (feed->store == NULL || feed->in_look)
        return false;
    int64_t before = feed->tail;
    feed->in_look = true;
    enum store_result result = store_changed(feed->store, &changed, &error);
    bool has_read = result == STORE_OK && (changed || feed->more);
    if (has_read) {
        /* Until the page says otherwise: a failure must not lose the news. */
        feed->more = true;
        result = feed_read_page(feed, &error);
    }
    feed->in_look = false;
    if (!feed->more)
        feed->behind_since_ms = 0;
    else if (feed->behind_since_ms == 0)
        feed->behind_since_ms = uv_now(feed->loop);
    /* That nothing was committed says nothing of a table that could not be read just now. */
    if (has_read || result != STORE_OK || !feed->doubtful)
        feed_report(feed, result, &error);
    /* After a failure the watch's own retries, which grow rarer, are often enough. */
    if (feed->more && result == STORE_OK)
        watch_nudge(feed->watch);
    return feed->tail != before;
}

void
feed_report(struct feed *feed, enum store_result result, const struct error *error)
{
    if (result == STORE_FAILED)
        feed->doubtful = true;
    if (result == STORE_FAILED && feed->errors != NULL)
        ++*feed->errors;
    feed_set_trouble(feed, result, error);
}

/* Opens what is at the path now. The streams are told only if it is not the same history. */
static void
feed_reopen(struct feed *feed)
{
    struct error error = {""};
    bool busy = false;
    store_close(feed->store);
    feed->store = store_open(&feed->config, &busy, &error);
    if (feed->store == NULL) {
        feed_set_trouble(feed, busy ? STORE_BUSY : STORE_FAILED, &error);
        return;
    }
    feed->doubtful = false;
    feed->more = true; /* whatever data_version says of the new connection */
    log_line(feed->log, LOG_INFO, "database reopened");
}

int
feed_reload(struct feed *feed, struct error *error)
{
    bool busy = false;
    struct store *store = store_open(&feed->config, &busy, error);
    if (store == NULL)
        return -1;
    store_close(feed->store);
    feed->store = store;
    feed->doubtful = false;
    feed->more = true;
    feed_look(feed);
    return 0;
}

static bool
on_watch(void *arg, bool is_tick)
{
    struct feed *feed = arg;
    if (is_tick && !feed->in_look &&
        (feed->store == NULL || feed->doubtful || store_has_moved(feed->store)))
        feed_reopen(feed);
    return feed_look(feed);
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
    bool busy = false;
    feed->store = store_open(config, &busy, error);
    if (feed->store == NULL ||
        store_read_marks(feed->store, &feed->marks, error) != STORE_OK) {
        feed_free(feed);
        return NULL;
    }
    feed->tail = feed->marks.tail;
    return feed;
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

int64_t
feed_tail(const struct feed *feed)
{
    return feed->tail;
}

const char *
feed_trouble(const struct feed *feed)
{
    return feed->trouble.text[0] == '\0' ? NULL : feed->trouble.text;
}

const char *
feed_lasting_trouble(const struct feed *feed)
{
    if (feed->trouble_kind == STORE_BUSY &&
        uv_now(feed->loop) - feed->trouble_since_ms < FEED_BUSY_PATIENCE_MS)
        return NULL;
    return feed_trouble(feed);
}

void
feed_probe(struct feed *feed)
{
    struct error error = {""};
    feed_look(feed);
    if (feed->store != NULL)
        feed_report(feed, store_probe(feed->store, &error), &error);
}

uint64_t
feed_lag_ms(const struct feed *feed)
{
    uint64_t since = feed->behind_since_ms;
    if (feed_trouble(feed) != NULL && (since == 0 || feed->trouble_since_ms < since))
        since = feed->trouble_since_ms;
    return since == 0 ? 0 : uv_now(feed->loop) - since;
}

void
feed_count_errors(struct feed *feed, uint64_t *errors)
{
    feed->errors = errors;
}

void
feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    watch_free(feed->watch);
    store_close(feed->store);
    free(feed);
}
