/* notes.c - writes the results of messages into the table of subscriptions.
 *
 * push/deliver.c and push/outcome.c note that a subscription's cursor or failures have changed, or
 * that it has ended; push/sender.c writes the notes at each tick, and at its end. All notes of a
 * tick are one transaction, and none is forgotten before the commit: when the database is locked or
 * closed they wait. The notes that a killed process had not written are lost, so it sends those
 * messages twice (push/sender.h). */
#include "config.h"

#include "push/sender_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define NOTES_MAX 2000 /* in one transaction */

/* An endpoint that is to be deleted. */
struct ended {
    struct queue_link link;
    char *endpoint;
};

void
sender_note(struct sender *sender, struct subscriber *subscriber)
{
    queue_push(&sender->dirty, &subscriber->dirty_link);
}

void
sender_end(struct sender *sender, struct subscriber *subscriber)
{
    struct ended *ended = calloc(1, sizeof *ended);
    if (ended == NULL)
        return; /* the push service says it again */
    queue_link_init(&ended->link);
    ended->endpoint = strdup(subscriber->endpoint);
    if (ended->endpoint == NULL) {
        free(ended);
        return;
    }
    queue_push(&sender->ended, &ended->link);
    sender->counts.ended++;
    subscribers_drop(&sender->subscribers, subscriber);
}

/* The wait as a time of the clock on the wall, for the next start. */
static int64_t
retry_at(const struct sender *sender, const struct subscriber *subscriber)
{
    uint64_t now = uv_now(sender->loop);
    if (subscriber->failures == 0 || subscriber->due_ms <= now)
        return 0;
    return clock_unix_ms() + (int64_t)(subscriber->due_ms - now);
}

static enum store_result
write_note(struct sender *sender, const struct subscriber *subscriber, struct error *error)
{
    const struct push_note note = {.endpoint = subscriber->endpoint,
                                   .cursor = subscriber->cursor,
                                   .retry_at = retry_at(sender, subscriber),
                                   .failures = subscriber->failures,
                                   .status = subscriber->status,
                                   .why =
                                       subscriber->why[0] != '\0' ? subscriber->why : NULL};
    return push_table_note(sender->table, &note, error);
}

/* Within a transaction. Nothing is taken off the lists before the commit. */
static enum store_result
write_notes(struct sender *sender, size_t *count, struct error *error)
{
    struct queue_link *link;
    enum store_result result = STORE_OK;
    for (link = queue_head(&sender->ended); result == STORE_OK && link != NULL;
         link = queue_next(&sender->ended, link))
        result = push_table_end(sender->table,
                                queue_item(link, struct ended, link)->endpoint, error);
    for (link = queue_head(&sender->dirty);
         result == STORE_OK && link != NULL && *count < NOTES_MAX;
         link = queue_next(&sender->dirty, link), ++*count)
        result = write_note(sender, queue_item(link, struct subscriber, dirty_link), error);
    return result;
}

void
sender_forget_notes(struct sender *sender, size_t count)
{
    struct queue_link *link;
    while ((link = queue_head(&sender->ended)) != NULL) {
        struct ended *ended = queue_item(link, struct ended, link);
        queue_remove(link);
        free(ended->endpoint);
        free(ended);
    }
    for (; count > 0 && (link = queue_head(&sender->dirty)) != NULL; count--)
        queue_remove(link);
}

void
sender_flush_notes(struct sender *sender)
{
    struct error error = {""};
    size_t count = 0;
    if (sender->store == NULL || sender->must_reload ||
        (queue_head(&sender->dirty) == NULL && queue_head(&sender->ended) == NULL))
        return;
    enum store_result result = store_begin_write(sender->store, &error);
    if (result == STORE_OK)
        result = write_notes(sender, &count, &error);
    if (result == STORE_OK)
        result = store_commit(sender->store, &error);
    if (result == STORE_OK) {
        sender_forget_notes(sender, count);
        return;
    }
    store_rollback(sender->store);
    if (result == STORE_FAILED)
        sender_tell_trouble(sender, &error);
}
