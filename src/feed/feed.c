/* feed.c - from "the database may have changed" to rows; see feed/feed.h.
 *
 * serve/serve.c makes it, hub/hub.c takes the rows. A failed look is an ordinary outcome: streams
 * stay open, the watch's retries and its fallback tick come back here, and what was missed
 * meanwhile is read then, as the tail has not moved.
 *
 * Once a second, and when a file in the folder came or went, it sees whether what it has open is
 * what lies at the path. If not, the gate (store/gate.h) is shut, and the database is opened anew
 * when the last connection of the process is closed. */
#include "config.h"

#include "feed/feed.h"

#include <stdlib.h>
#include <string.h>

#include "feed/watch.h"
#include "store/files.h"
#include "store/read_log.h"

/* Before the start, when it may wait: a CGI process may not live until the looks after it. */
#define STRANGERS_FIRST_LOOKS 10
#define STRANGERS_FIRST_MISSES 2
#define STRANGERS_FIRST_MS 30

/* How often it is looked who else has the database open, and how often in a row a stranger must be
 * seen: one that is just opening it looks like one. */
#define STRANGERS_LOOK_MS 900
#define STRANGERS_LOOKS 2

/* A database that cannot be opened is tried again this often at the most, and by each tick. */
#define OPEN_AGAIN_MS 20

/* At the start a lock is waited for: of workers that start together one recovers the WAL, and a
 * writer with a rollback journal commits. */
#define START_PATIENCE_MS FEED_BUSY_PATIENCE_MS

/* Until then the other processes that had the old files open may be about to close them, too. */
#define STRANGERS_LEAVE_MS 1500

struct feed {
    uv_loop_t *loop;
    struct store_config config;
    const struct log *log;
    struct store *store; /* NULL while it cannot be opened */
    struct store_gate *gate;
    uv_async_t gate_changed; /* by the writer's thread */
    bool has_async;
    struct watch *watch;
    struct feed_handlers handlers;
    void *arg;
    struct store_marks marks;
    struct store_follower follower; /* where is_follower */
    bool is_follower;
    int64_t own_schema;         /* of it we know that the table is no follower's; -1: of none */
    struct store_cursor cursor; /* rows up to it were handed out */
    bool more;                  /* the last look stopped at its page's end */
    bool in_look;               /* handlers must not start another look */
    bool doubtful;              /* a read failed, or SIGHUP: reopen at the next tick */
    struct error fault;         /* store_fault as it was last reported */
    struct error trouble;       /* text empty: none */
    enum store_result trouble_kind;
    uint64_t trouble_since_ms;
    struct error said;  /* of the trouble, in the log; text empty: nothing */
    struct error doubt; /* why rows may not arrive though all can be read; empty: nothing */
    uint64_t strangers_looked_ms;
    unsigned strangers; /* looks that saw one; see feed_look_for_strangers */
    struct store_device device;
    uint64_t tried_ms;  /* when it was last tried to open it */
    uint64_t closed_ms; /* when it was closed to be opened anew */
    feed_lost_fn lost;  /* NULL: not confined */
    void *lost_arg;
    struct store_folders folders; /* that it may enter then */
    uint64_t behind_since_ms;     /* 0: all is handed out */
    uint64_t *errors;             /* counts failed reads, or NULL */
};

/* Busy for a moment is no trouble: every commit to a database with a rollback journal is that. */
static bool
feed_is_locked_briefly(const struct feed *feed)
{
    return feed->trouble.text[0] != '\0' && feed->trouble_kind == STORE_BUSY &&
           uv_now(feed->loop) - feed->trouble_since_ms < FEED_BUSY_PATIENCE_MS;
}

/* Says what has changed. */
static void
feed_say_trouble(struct feed *feed)
{
    const char *text = feed->trouble.text;
    if (strcmp(text, feed->said.text) == 0)
        return;
    if (*text == '\0')
        log_line(feed->log, LOG_INFO, "database readable again");
    else if (feed_is_locked_briefly(feed))
        return;
    else
        log_line(feed->log, feed->trouble_kind == STORE_BUSY ? LOG_WARN : LOG_ERROR, "%s",
                 text);
    feed->said = feed->trouble;
}

static void
feed_set_trouble(struct feed *feed, enum store_result result, const struct error *error)
{
    if (feed->trouble.text[0] == '\0')
        feed->trouble_since_ms = uv_now(feed->loop);
    feed->trouble_kind = result;
    error_set(&feed->trouble, "%s", result == STORE_OK ? "" : error->text);
    feed_say_trouble(feed);
}

/* What a change of the schema has taken from the table: rows go on, but it is not healthy. */
static void
feed_tell_fault(struct feed *feed)
{
    const char *fault = store_fault(feed->store);
    if (strcmp(fault != NULL ? fault : "", feed->fault.text) == 0)
        return;
    log_line(feed->log, fault != NULL ? LOG_ERROR : LOG_INFO, "%s",
             fault != NULL ? fault : "the table is whole again");
    error_set(&feed->fault, "%s", fault != NULL ? fault : "");
}

/* What comes of one read. */
struct feed_page {
    struct feed *feed;
    size_t bytes;
    int64_t lost_up_to; /* rows up to it were deleted before they were seen; 0: none */
    bool
        is_other; /* another database, or an older state: nothing follows on what we know */
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
        "the database was replaced or restored (base %lld, highest id %lld): streams are "
        "told and go on from there",
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
        return result; /* not even the first row: try again from the same place */
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
        /* Until the page says otherwise: a failure must not lose the news. */
        feed->more = true;
        result = feed_read_page(feed, &error);
        feed_tell_fault(feed);
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
    return feed->cursor.id != before;
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

/* --- opened anew --------------------------------------------------------------------- */

static void
feed_close(struct feed *feed)
{
    store_gate_shut(feed->gate);
    store_close(feed->store);
    feed->store = NULL;
    feed->closed_ms = uv_now(feed->loop);
    watch_nudge(feed->watch); /* the writer and other processes close theirs in a moment */
}

/* In a sandbox that knows another folder than the one at the path, where all else would do. */
static bool
feed_is_lost(const struct feed *feed)
{
    struct error ignored;
    return feed->lost != NULL && !store_folders_have(&feed->folders, feed->config.path) &&
           !store_diagnose_rights(feed->config.path, STORE_READ, &ignored);
}

static void
feed_fail_open(struct feed *feed, enum store_result result, struct error *error)
{
    if (result == STORE_FAILED && feed_is_lost(feed)) {
        error_set(
            error,
            "the folder of %s was replaced, and the sandbox allows only the one that was "
            "there at the start: rowcast must be started again",
            feed->config.path);
        feed->lost(feed->lost_arg, error);
    }
    feed_set_trouble(feed, result, error);
}

/* STORE_OK when nobody has the old files open any more, who would make the new ones wrong. */
static enum store_result
feed_check_others(const struct feed *feed, struct error *error)
{
    if (!store_gate_is_clear(feed->gate)) {
        error_set(error, "%s is opened anew when the thread that writes has closed it",
                  feed->config.path);
        return STORE_BUSY;
    }
    if (!store_path_has_strangers(feed->config.path, &feed->device, error))
        return STORE_OK;
    return uv_now(feed->loop) - feed->closed_ms < STRANGERS_LEAVE_MS ? STORE_BUSY
                                                                     : STORE_FAILED;
}

/* Opens what is at the path now. The streams get a gap event only if it is not the same history. */
static void
feed_open(struct feed *feed)
{
    struct error error = {""};
    bool busy = false;
    enum store_result result = feed_check_others(feed, &error);
    if (result == STORE_OK) {
        feed->store = store_open(&feed->config, &busy, &error);
        result = busy ? STORE_BUSY : STORE_FAILED;
    }
    feed->tried_ms = uv_now(feed->loop);
    if (feed->store == NULL) {
        feed_fail_open(feed, result, &error);
        return;
    }
    feed->doubtful = false;
    feed->more = true; /* whatever store_changed says of the new connection */
    watch_follow(feed->watch, feed->config.path);
    store_gate_open(feed->gate, store_opened_files(feed->store));
    log_line(feed->log, LOG_INFO, "database reopened");
}

/* --- doubts: all can be read, and yet rows may not arrive ---------------------------- */

/* Up by each look that sees one, to a look more than it takes; down by each that sees none, as the
 * kernel's list may lack a line. */
static void
feed_look_for_strangers(struct feed *feed, struct error *error)
{
    if (store_has_strangers(feed->store, &feed->device, error))
        feed->strangers += feed->strangers <= STRANGERS_LOOKS ? 1 : 0;
    else
        feed->strangers -= feed->strangers > 0 ? 1 : 0;
}

static bool
feed_has_strangers(struct feed *feed, struct error *error)
{
    uint64_t now = uv_now(feed->loop);
    if (feed->store != NULL && now - feed->strangers_looked_ms >= STRANGERS_LOOK_MS) {
        feed->strangers_looked_ms = now;
        feed_look_for_strangers(feed, error);
    }
    if (feed->strangers >= STRANGERS_LOOKS && error->text[0] == '\0')
        *error = feed->doubt; /* as it was last seen */
    return feed->strangers >= STRANGERS_LOOKS;
}

static void
feed_check_doubt(struct feed *feed)
{
    struct error error = {""};
    bool had_strangers = feed->strangers >= STRANGERS_LOOKS;
    bool is_doubtful = store_files_have_two_names(feed->config.path, &error) ||
                       store_files_are_a_copy(feed->config.path, &error) ||
                       feed_has_strangers(feed, &error);
    if (!is_doubtful)
        error.text[0] = '\0';
    if (strcmp(error.text, feed->doubt.text) == 0)
        return;
    if (is_doubtful)
        log_line(feed->log, LOG_ERROR, "%s", error.text);
    else
        log_line(feed->log, LOG_INFO, "%s is in order again", feed->config.path);
    feed->doubt = error;
    /* A stranger has left: what it has committed is in the WAL, but not in the -shm. It is found
     * when all is opened anew, and must not be written over before. */
    if (had_strangers && feed->strangers < STRANGERS_LOOKS && feed->store != NULL)
        feed_close(feed);
    store_gate_forbid(feed->gate, is_doubtful ? &error : NULL);
}

/* Leaves it to the next look to tell of one who is there all the time. */
static void
feed_watch_strangers(struct feed *feed)
{
    struct error error = {""};
    int misses = 0;
    if (!store_has_strangers(feed->store, &feed->device, &error))
        return;
    for (int i = 1; i < STRANGERS_FIRST_LOOKS; i++) {
        uv_sleep(STRANGERS_FIRST_MS);
        if (!store_has_strangers(feed->store, &feed->device, &error) &&
            ++misses > STRANGERS_FIRST_MISSES)
            return;
    }
    feed->strangers = STRANGERS_LOOKS;
}

static void
feed_check_wal(struct feed *feed)
{
    struct error error = {""};
    enum store_result result = store_check_wal(feed->store, &error);
    if (result == STORE_FAILED)
        feed_report(feed, result, &error);
}

/* Whether the files are still those that are open. */
static void
feed_check_files(struct feed *feed)
{
    if (feed->in_look)
        return;
    if (feed->store != NULL &&
        (feed->doubtful || store_gate_is_shut(feed->gate) || store_has_moved(feed->store)))
        feed_close(feed);
    if (feed->store == NULL)
        feed_open(feed);
    else
        feed_check_wal(feed);
    feed_check_doubt(feed);
}

/* Also between ticks, while the files are away or another connection has to be closed first. */
static bool
feed_is_due(const struct feed *feed)
{
    return feed->store == NULL && uv_now(feed->loop) - feed->tried_ms >= OPEN_AGAIN_MS;
}

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

/* Opens the database and reads where rows go on from. */
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

/* The same; waits, as nothing is served yet. */
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

const struct store_follower *
feed_follower(const struct feed *feed)
{
    return feed->is_follower ? &feed->follower : NULL;
}

const char *
feed_trouble(const struct feed *feed)
{
    if (feed->trouble.text[0] != '\0')
        return feed->trouble.text;
    return feed->doubt.text[0] != '\0' ? feed->doubt.text : NULL;
}

const char *
feed_lasting_trouble(const struct feed *feed)
{
    if (feed->trouble.text[0] != '\0' && !feed_is_locked_briefly(feed))
        return feed->trouble.text;
    if (feed->doubt.text[0] != '\0')
        return feed->doubt.text;
    return feed->fault.text[0] != '\0' ? feed->fault.text : NULL;
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
    if (feed->trouble.text[0] != '\0' && (since == 0 || feed->trouble_since_ms < since))
        since = feed->trouble_since_ms;
    return since == 0 ? 0 : uv_now(feed->loop) - since;
}

void
feed_count_errors(struct feed *feed, uint64_t *errors)
{
    feed->errors = errors;
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
