/* next_row.c - searches a subscription's next row; see push/next_row.h. Called by push/deliver.c.
 *
 * First the subscription itself is read from the table once more. Then come the rows behind its
 * cursor: those that only the table has, and the newest, which push/recent.c keeps in memory. The
 * search moves the cursor past rows that need no message. It sends nothing and writes nothing. */
#include "config.h"

#include "push/next_row.h"

#include <string.h>

#include "base/clock.h"

#define MAX_PASSED 1000 /* rows of the table that one search reads */
#define NO_MEMORY_WAIT_MS 1000

/* A row for the program in the page, with nothing to show to a person. */
static bool
is_own_event(const struct row *row)
{
    static const char own[] = "rowcast:";
    size_t len = sizeof own - 1;
    return row->event.len >= len && memcmp(row->event.p, own, len) == 0;
}

static void
wait_until(struct next_row *search, uint64_t due_ms)
{
    search->must_wait = true;
    search->subscriber->due_ms = due_ms;
}

/* Whether the user has the row by a stream. Sets must_wait while that cannot be known. */
static bool
is_seen_elsewhere(struct next_row *search, const struct row *row)
{
    uint64_t until_ms = 0;
    struct subscriber *subscriber = search->subscriber;
    if (!subscriber->absent)
        return false;
    switch (presence_judge(&search->sender->presence, subscriber->filter.user, &until_ms)) {
    case PRESENCE_THERE:
        if (subscriber->held_id >= row->id)
            return true;
        subscriber->held_id = search->sender->cursor.id; /* the newest row so far */
        wait_until(search, uv_now(search->sender->loop) + PRESENCE_HOLD_MS);
        return false;
    case PRESENCE_GRACE:
        wait_until(search, until_ms);
        return false;
    case PRESENCE_ABSENT:
        break;
    }
    return false;
}

/* Judges a row that the filter lets through. STORE_STOP: the row is taken, or has to wait. */
static enum store_step
consider(struct next_row *search, const struct row *row)
{
    if (row_is_expired(row, clock_unix_ms()) || is_own_event(row) ||
        is_seen_elsewhere(search, row)) {
        search->has_passed = true;
        return STORE_MORE;
    }
    if (search->must_wait)
        return STORE_STOP;
    search->is_taken = search->take(search->arg, row) == 0;
    if (!search->is_taken) /* memory may be back later */
        wait_until(search, uv_now(search->sender->loop) + NO_MEMORY_WAIT_MS);
    return STORE_STOP;
}

static enum store_step
consider_row(void *arg, const struct row *row)
{
    return consider(arg, row);
}

/* Among the newest rows, which are in memory. */
static void
search_recent(struct next_row *search)
{
    struct sender *sender = search->sender;
    struct subscriber *subscriber = search->subscriber;
    const struct recent *recent = &sender->recent;
    for (size_t i = recent_find(recent, subscriber->cursor); i < recent->count; i++) {
        const struct row *row = &recent->rows[i].row;
        if (!recent->rows[i].is_replaced &&
            filter_matches(&subscriber->filter, row->channel, row->recipient) &&
            consider(search, row) == STORE_STOP)
            return;
        subscriber->cursor = row->id;
    }
    subscriber->cursor = sender->cursor.id;
}

/* In the table, up to where the sender has read the log. */
static enum store_result
search_table(struct next_row *search, struct error *error)
{
    struct subscriber *subscriber = search->subscriber;
    struct store_progress progress = {.last = subscriber->cursor};
    const struct store_range range = {.row = consider_row,
                                      .arg = search,
                                      .after = subscriber->cursor,
                                      .up_to = search->sender->cursor.id,
                                      .max_rows = MAX_PASSED,
                                      .narrow = &subscriber->filter,
                                      .collapse = true,
                                      .newest = search->sender->cursor.id};
    enum store_result result =
        store_read_range(search->sender->store, &range, &progress, error);
    int64_t last = progress.last;
    if (search->is_taken || search->must_wait) /* the cursor stays before that row */
        last = progress.given.id > 0 ? progress.given.id - 1 : subscriber->cursor;
    if (last > subscriber->cursor)
        subscriber->cursor = last;
    return result;
}

/* The subscription as the table has it now: it may have ended, or may read less than before. */
static void
refresh(void *arg, const struct push_row *row)
{
    struct next_row *search = arg;
    search->subscriber->is_over = row->is_over;
    subscribers_refresh(&search->sender->subscribers, search->subscriber, row);
}

static bool
can_get_messages(const struct next_row *search)
{
    const struct subscriber *subscriber = search->subscriber;
    return search->is_stored && !subscriber->is_over && subscriber->service != NULL &&
           subscriber->key != NULL;
}

enum store_result
next_row_find(struct next_row *search, struct error *error)
{
    struct sender *sender = search->sender;
    struct subscriber *subscriber = search->subscriber;
    struct push_scan scan = {.now_ms = clock_unix_ms(), .take = refresh, .arg = search};
    enum store_result result =
        push_table_read(sender->table, subscriber->endpoint, &scan, error);
    search->is_stored = scan.count > 0;
    if (result != STORE_OK || !can_get_messages(search))
        return result;
    if (subscriber->absent)
        result =
            presence_freshen(&sender->presence, sender->table, uv_now(sender->loop), error);
    if (result == STORE_OK && subscriber->cursor < sender->recent.after)
        result = search_table(search, error);
    if (result == STORE_OK && !search->must_wait && !search->is_taken &&
        subscriber->cursor >= sender->recent.after)
        search_recent(search);
    return result;
}
