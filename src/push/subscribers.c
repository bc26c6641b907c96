/* subscribers.c - from rows of rowcast_push to subscribers, and keeping up with them; see
 * push/subscribers.h. Called by push/sender.c. */
#include "config.h"

#include "push/subscribers.h"

#include <stdlib.h>
#include <string.h>

#include "push/answer.h"
#include "push/subscription.h"

/* --- what the table says of one ----------------------------------------------------- */

static uint64_t
hash_row(const struct hash_key *key, const struct push_row *row)
{
    const struct slice parts[] = {row->endpoint, row->user,          row->channels,
                                  row->bounds,   row->ticket_bounds, row->p256dh,
                                  row->auth,     row->vapid_key,     row->page};
    uint64_t hash = row->absent ? 1 : 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = hash_add(key, hash, parts[i]);
    return hash;
}

/* A bound that cannot be read lets nothing through: never more rights than were meant. */
static void
take_bound(struct filter *filter, enum filter_bound bound, struct slice json)
{
    filter->bounded[bound] = json.p != NULL;
    if (json.p != NULL)
        push_patterns_parse(&filter->bounds[bound], json, PATTERNS_GRANTED);
}

/* A copy; NULL for NULL. */
static char *
copy_text(struct slice text)
{
    return text.p == NULL ? NULL : strndup(text.p, text.len);
}

static void
take_filter(struct subscriber *subscriber, const struct push_row *row)
{
    struct filter filter = {.user = copy_text(row->user)};
    take_bound(&filter, FILTER_BOUND_LOCATION, row->bounds);
    take_bound(&filter, FILTER_BOUND_TICKET, row->ticket_bounds);
    /* An empty list would be all channels. */
    if (push_patterns_parse(&filter.requested, row->channels, PATTERNS_GRANTED) != 0 ||
        filter.requested.count == 0)
        filter.bounded[FILTER_BOUND_LOCATION] = true,
        patterns_fini(&filter.bounds[FILTER_BOUND_LOCATION]);
    filter_fini(&subscriber->filter);
    filter_move(&subscriber->filter, &filter);
}

/* Where to and with what it is sent. What is wrong there is said once, and nothing is sent. */
static void
take_target(struct subscribers *subscribers, struct subscriber *subscriber,
            const struct push_row *row)
{
    struct push_origin origin;
    struct error error = {""};
    char ref[PUSH_REF_MAX];
    char *key = copy_text(row->vapid_key);
    subscriber->service = NULL;
    subscriber->key =
        key != NULL ? vapid_keys_find(subscribers->services->keys, key) : NULL;
    free(key);
    if (push_endpoint_check(subscriber->endpoint, subscribers->hosts, &origin, &error) ==
            0 &&
        ece_keys_parse(&subscriber->keys, row->p256dh, row->auth, &error) == 0)
        subscriber->service = services_find(subscribers->services, &origin);
    if (subscriber->service != NULL && subscriber->key == NULL)
        error_set(&error, "it was made with another VAPID key");
    if (error.text[0] != '\0')
        log_line(subscribers->log, LOG_WARN, "nothing is sent to %s: %s",
                 push_endpoint_ref(ref, subscriber->endpoint), error.text);
}

static int
take(struct subscribers *subscribers, struct subscriber *subscriber,
     const struct push_row *row)
{
    char *endpoint = copy_text(row->endpoint);
    if (endpoint == NULL)
        return -1;
    free(subscriber->endpoint);
    free(subscriber->page);
    subscriber->endpoint = endpoint;
    subscriber->page = copy_text(row->page);
    subscriber->absent = row->absent;
    take_filter(subscriber, row);
    take_target(subscribers, subscriber, row);
    subscriber->hash = hash_row(&subscribers->key, row);
    return 0;
}

int
subscribers_refresh(struct subscribers *subscribers, struct subscriber *subscriber,
                    const struct push_row *row)
{
    if (subscriber->hash == hash_row(&subscribers->key, row))
        return 0;
    if (row->cursor > subscriber->cursor) /* another user's: it begins again */
        subscriber->cursor = row->cursor;
    return take(subscribers, subscriber, row);
}

/* --- life --------------------------------------------------------------------------- */

void
subscriber_free(struct subscriber *subscriber)
{
    queue_remove(&subscriber->link);
    queue_remove(&subscriber->dirty_link);
    filter_fini(&subscriber->filter);
    free(subscriber->endpoint);
    free(subscriber->page);
    free(subscriber);
}

/* The waits of the table, which are of the clock on the wall: one that is longer than any that is
 * ever set has come by a clock that was wrong then, and counts as over. */
static void
take_wait(struct subscriber *subscriber, const struct push_row *row,
          const struct sync_times *times)
{
    int64_t wait_ms = row->retry_at - times->unix_ms;
    if (wait_ms > 0 && wait_ms <= PUSH_RETRY_AFTER_MAX_MS)
        subscriber->due_ms = subscriber->asked_ms = times->now_ms + (uint64_t)wait_ms;
    subscriber->failures = row->failures > 0 ? row->failures : 0;
}

static struct subscriber *
subscriber_new(struct subscribers *subscribers, const struct push_row *row,
               const struct sync_times *times)
{
    struct subscriber *subscriber = calloc(1, sizeof *subscriber);
    if (subscriber == NULL)
        return NULL;
    queue_link_init(&subscriber->link);
    queue_link_init(&subscriber->dirty_link);
    subscriber->rowid = row->rowid;
    subscriber->cursor = row->cursor <= times->tail ? row->cursor : times->tail;
    take_wait(subscriber, row, times);
    if (take(subscribers, subscriber, row) == 0)
        return subscriber;
    subscriber_free(subscriber);
    return NULL;
}

/* No longer in the list. */
static void
let_go(struct subscriber *subscriber)
{
    queue_remove(&subscriber->link);
    queue_remove(&subscriber->dirty_link);
    if (subscriber->place == SUBSCRIBER_BUSY)
        subscriber->is_gone = true;
    else
        subscriber_free(subscriber);
}

void
subscribers_drop(struct subscribers *subscribers, struct subscriber *subscriber)
{
    size_t i = 0;
    while (i < subscribers->count && subscribers->items[i] != subscriber)
        i++;
    if (i == subscribers->count)
        return;
    subscribers->count--;
    memmove(subscribers->items + i, subscribers->items + i + 1,
            (subscribers->count - i) * sizeof(struct subscriber *));
    let_go(subscriber);
}

void
subscribers_clear(struct subscribers *subscribers)
{
    for (size_t i = 0; i < subscribers->count; i++)
        let_go(subscribers->items[i]);
    free(subscribers->items);
    subscribers->items = NULL;
    subscribers->count = subscribers->room = 0;
}

/* --- comparing with the table ------------------------------------------------------- */

/* Both lists are in the order of rowid, so one walk over the two does. */
struct sync {
    struct subscribers *subscribers;
    const struct sync_times *times;
    struct subscriber **old;
    size_t old_count, at;
    bool failed;
};

static void
append(struct sync *sync, struct subscriber *subscriber)
{
    struct subscribers *subscribers = sync->subscribers;
    if (subscribers->count == subscribers->room) {
        size_t room = subscribers->room == 0 ? 64 : subscribers->room * 2;
        void *items = realloc(subscribers->items, room * sizeof(struct subscriber *));
        if (items == NULL) {
            sync->failed = true;
            let_go(subscriber);
            return;
        }
        subscribers->items = items;
        subscribers->room = room;
    }
    subscribers->items[subscribers->count++] = subscriber;
}

/* SQLite gives the rowid of a row that was deleted to another one. */
static bool
is_same(const struct subscriber *subscriber, const struct push_row *row)
{
    return slice_equal(slice_of(subscriber->endpoint), row->endpoint);
}

static void
sync_row(void *arg, const struct push_row *row)
{
    struct sync *sync = arg;
    struct subscriber *subscriber = NULL;
    while (sync->at < sync->old_count && sync->old[sync->at]->rowid < row->rowid)
        let_go(sync->old[sync->at++]);
    if (sync->at < sync->old_count && sync->old[sync->at]->rowid == row->rowid)
        subscriber = sync->old[sync->at++];
    if (subscriber != NULL && !is_same(subscriber, row)) {
        let_go(subscriber);
        subscriber = NULL;
    }
    if (subscriber == NULL)
        subscriber = subscriber_new(sync->subscribers, row, sync->times);
    else if (subscribers_refresh(sync->subscribers, subscriber, row) != 0)
        sync->failed = true;
    if (subscriber != NULL) {
        subscriber->is_over = row->is_over;
        append(sync, subscriber);
    } else
        sync->failed = true;
}

enum store_result
subscribers_sync(struct subscribers *subscribers, struct push_table *table,
                 const struct sync_times *times, struct error *error)
{
    struct sync sync = {.subscribers = subscribers,
                        .times = times,
                        .old = subscribers->items,
                        .old_count = subscribers->count};
    struct push_scan scan = {.now_ms = times->unix_ms, .take = sync_row, .arg = &sync};
    subscribers->items = NULL;
    subscribers->count = subscribers->room = 0;
    enum store_result result = push_table_scan(table, &scan, error);
    /* What was not come to for a lock is still there, as far as is known. */
    for (; sync.at < sync.old_count; sync.at++)
        if (result == STORE_OK)
            let_go(sync.old[sync.at]);
        else
            append(&sync, sync.old[sync.at]);
    free(sync.old);
    if (result == STORE_OK && sync.failed) {
        error_set(error, "out of memory for the subscriptions");
        return STORE_FAILED;
    }
    return result;
}
