/* sender_state.h - the sender's state, for push/sender.c (the database and the turns),
 * push/deliver.c (one message's way), push/next_row.c (the row that becomes a message),
 * push/outcome.c (what its answer changes) and push/notes.c (writes that into the table). No other
 * file includes it. */
#ifndef ROWCAST_PUSH_SENDER_STATE_H
#define ROWCAST_PUSH_SENDER_STATE_H

#include "push/presence.h"
#include "push/recent.h"
#include "push/sender.h"
#include "push/subscribers.h"
#include "push/transport.h"
#include "store/read_log.h"

struct sender {
    uv_loop_t *loop;
    struct sender_config config;
    struct transport *transport;
    struct services services;
    struct subscribers subscribers;
    struct presence presence;
    struct recent recent;
    struct sender_counts counts;

    struct store *store; /* NULL: the database cannot be opened just now */
    struct push_table *table;
    struct store_cursor
        cursor;       /* of the log as a whole: its id is the newest that is known */
    bool must_reload; /* the table has another history */
    bool is_trouble_told;
    uint64_t sync_due_ms;
    bool must_sync; /* the database has changed since */

    uv_timer_t tick;    /* waits that are over, notes that are due */
    struct queue ready; /* services that may start a message, in turn */
    struct queue dirty; /* subscribers of whom the table does not know all */
    struct queue ended; /* of struct ended: endpoints to be deleted */
    int64_t open;       /* messages that are being made or are under way */
    bool is_ending;
    bool is_closed; /* the last message that is closed frees it all */
};

/* push/deliver.c */

/* Starts messages for those that are ready, as many as may be under way. */
void deliver_all(struct sender *sender);

/* Puts it into the queue of those that look for their next row, unless it waits or is busy. */
void deliver_later(struct sender *sender, struct subscriber *subscriber);

/* push/sender.c */

/* After the end, once no message is under way. */
void sender_free_rest(struct sender *sender);

/* Logs why the database cannot be used just now: once, until a turn has succeeded. */
void sender_tell_trouble(struct sender *sender, const struct error *error);

/* push/notes.c */

/* Its cursor or its failures have changed: the table learns it soon. */
void sender_note(struct sender *sender, struct subscriber *subscriber);

/* It is over: deleted from the table soon, and from memory now. */
void sender_end(struct sender *sender, struct subscriber *subscriber);

/* Writes the notes in one transaction. When the database is locked or closed, they stay for the
 * next call. */
void sender_flush_notes(struct sender *sender);

/* Frees the notes of ended subscriptions, and takes the first `count` others off their list. */
void sender_forget_notes(struct sender *sender, size_t count);

#endif
