/* revocation_log.c - from a row in rowcast_revocation to streams that end; see
 * people/revocation_log.h.
 *
 * What was read once is never forgotten by the process: a database that is replaced by an older
 * state lets no such user in again. */
#include "config.h"

#include "people/revocation_log.h"

#include <stdlib.h>

#include "base/clock.h"
#include "people/revocation_table.h"

#define READ_MS 100  /* between two reads */
#define AGAIN_MS 500 /* after one that failed */
#define PAGE_ROWS 1000
#define START_PATIENCE_MS 5000
#define START_LOOK_MS 20

struct revocation_log {
    uv_timer_t timer;
    uv_loop_t *loop;
    struct feed *feed;
    struct hub *hub;
    struct revocations *known;
    int64_t cursor;   /* rows up to this id were read */
    uint64_t opening; /* of the database that the cursor belongs to */
    uint64_t read_ms; /* when it was read last */
    bool has_new;     /* rows of this read */
    bool out_of_memory;
};

static void
take_revocation(void *arg, const struct revocation *row)
{
    struct revocation_log *log = arg;
    if (row->user.p != NULL &&
        revocations_add(log->known, row->user, row->before_ms, clock_unix_ms()) != 0)
        log->out_of_memory = true;
    log->has_new = true;
    if (!log->out_of_memory)
        log->cursor = row->id;
}

/* One page. *more: there may be another one. */
static enum store_result
read_page(struct revocation_log *log, bool *more, struct error *error)
{
    struct store *store = feed_store(log->feed);
    struct revocation_range range = {
        .most = PAGE_ROWS, .take = take_revocation, .arg = log};
    int count = 0;
    if (store == NULL)
        return STORE_BUSY;
    if (log->opening != feed_openings(log->feed)) {
        log->opening = feed_openings(log->feed);
        log->cursor = 0; /* of another database, perhaps */
    }
    range.after = log->cursor;
    log->out_of_memory = false;
    enum store_result result = revocation_table_read(store, &range, &count, error);
    *more = count == PAGE_ROWS;
    if (result == STORE_OK && log->out_of_memory)
        return STORE_BUSY;
    return result;
}

static bool
is_revoked(void *arg, const struct hub_login *login)
{
    const struct revocation_log *log = arg;
    return revocations_have(log->known, login->user,
                            login->by_ticket ? REVOCATIONS_TICKET : REVOCATIONS_LOGIN,
                            login->since_ms);
}

static void on_timer(uv_timer_t *timer);

/* That the database cannot be read is the feed's to tell. */
static void
read_on(struct revocation_log *log)
{
    struct error ignored;
    bool more = false;
    log->has_new = false;
    log->read_ms = uv_now(log->loop);
    enum store_result result = read_page(log, &more, &ignored);
    if (log->has_new)
        hub_end_revoked(log->hub, is_revoked, log);
    if (result != STORE_OK)
        uv_timer_start(&log->timer, on_timer, AGAIN_MS, 0);
    else if (more)
        uv_timer_start(&log->timer, on_timer, 1, 0);
}

static void
on_timer(uv_timer_t *timer)
{
    read_on(timer->data);
}

/* Not at once: a stream that is just being opened, whose ticket was judged by what was known a
 * moment ago, must be there when the streams are looked at. */
static void
on_change(void *arg)
{
    struct revocation_log *log = arg;
    uint64_t since = uv_now(log->loop) - log->read_ms;
    if (!uv_is_active((uv_handle_t *)&log->timer))
        uv_timer_start(&log->timer, on_timer, since < READ_MS ? READ_MS - since : 0, 0);
}

/* --- life ---------------------------------------------------------------------------- */

/* Before anybody is served, so it may wait. */
static int
read_all(struct revocation_log *log, struct error *error)
{
    bool more = true;
    unsigned waited = 0;
    while (more) {
        enum store_result result = read_page(log, &more, error);
        if (result == STORE_FAILED || (result != STORE_OK && waited >= START_PATIENCE_MS))
            return -1;
        if (result == STORE_OK)
            continue;
        more = true;
        uv_sleep(START_LOOK_MS);
        waited += START_LOOK_MS;
    }
    return 0;
}

struct revocation_log *
revocation_log_new(uv_loop_t *loop, struct feed *feed, struct hub *hub, struct error *error)
{
    struct revocation_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    log->loop = loop;
    log->feed = feed;
    log->hub = hub;
    log->known = revocations_new(error);
    if (log->known == NULL || read_all(log, error) != 0) {
        revocations_free(log->known);
        free(log);
        return NULL;
    }
    uv_timer_init(loop, &log->timer);
    uv_unref((uv_handle_t *)&log->timer);
    log->timer.data = log;
    feed_on_change(feed, on_change, log);
    return log;
}

const struct revocations *
revocation_log_known(const struct revocation_log *log)
{
    return log == NULL ? NULL : log->known;
}

static void
on_closed(uv_handle_t *handle)
{
    struct revocation_log *log = handle->data;
    revocations_free(log->known);
    free(log);
}

void
revocation_log_free(struct revocation_log *log)
{
    if (log == NULL)
        return;
    feed_on_change(log->feed, NULL, NULL);
    uv_close((uv_handle_t *)&log->timer, on_closed);
}
