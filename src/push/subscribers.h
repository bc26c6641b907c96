/* subscribers.h - the subscriptions of the table in memory: who is to be woken by which row.
 *
 * The table is the truth, and an application may change it too. So the whole of it is compared
 * again and again (subscribers_sync), and each subscription once more before a message
 * (push/sender.c): what has been ended or narrowed is obeyed at once. */
#ifndef ROWCAST_PUSH_SUBSCRIBERS_H
#define ROWCAST_PUSH_SUBSCRIBERS_H

#include "base/hash.h"
#include "base/queue.h"
#include "event/filter.h"
#include "push/ece.h"
#include "push/service.h"
#include "push/table.h"

enum subscriber_place {
    SUBSCRIBER_IDLE,  /* nothing to do, as far as is known, or it waits for `due_ms` */
    SUBSCRIBER_READY, /* in the queue of those that look for their next row */
    SUBSCRIBER_BUSY   /* a message is under way */
};

struct subscriber {
    int64_t rowid;
    uint64_t hash; /* of what the table says of it, but for what the sender itself writes */
    char *endpoint;
    char *page;                  /* NULL: none */
    struct service *service;     /* NULL: its host is not listed, or its keys are none */
    const struct vapid_key *key; /* NULL: it was made with a key that is not here */
    struct ece_keys keys;
    struct filter filter;
    bool absent;
    bool is_over; /* revoked, or past its time: to be ended */

    int64_t cursor;         /* all rows up to it were sent, or are not for it */
    int64_t failures;       /* in a row */
    int64_t held_id;        /* the user was there when this row came; looked at once more */
    int64_t short_id;       /* of this row the whole text was too long */
    uint64_t due_ms;        /* not before, of the loop's clock */
    uint64_t asked_ms;      /* nor before that, as the push service has asked for it */
    bool waits_for_service; /* it failed because the service did */
    int status;             /* of the last answer */
    char why[64];           /* "": all is well */

    enum subscriber_place place;
    bool is_gone;                 /* of the table, while a message is under way */
    struct queue_link link;       /* READY */
    struct queue_link dirty_link; /* the table does not know yet */
};

struct subscribers {
    struct subscriber **items; /* by rowid */
    size_t count, room;
    struct hash_key key;
    struct services *services;
    const struct text_list *hosts;
    const struct log *log;
};

/* Compares with the table and takes what has changed. now_ms: the loop's clock. tail: the newest
 * id; a cursor above it is of another life of the table. */
struct sync_times {
    int64_t unix_ms;
    uint64_t now_ms;
    int64_t tail;
};
enum store_result subscribers_sync(struct subscribers *subscribers,
                                   struct push_table *table, const struct sync_times *times,
                                   struct error *error);

/* The same for one, by what was just read of it. Returns 0, or -1 when out of memory. */
int subscribers_refresh(struct subscribers *subscribers, struct subscriber *subscriber,
                        const struct push_row *row);

/* It has ended: takes it out, and frees it unless it is busy. */
void subscribers_drop(struct subscribers *subscribers, struct subscriber *subscriber);

/* For one that was busy when it was dropped. */
void subscriber_free(struct subscriber *subscriber);

/* All of them; those that are busy stay for subscriber_free. */
void subscribers_clear(struct subscribers *subscribers);

#endif
