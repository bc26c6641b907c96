/* queue.h - a doubly linked list whose links are part of the items: all operations O(1).
 *
 * Items that wait for equal intervals, pushed as they begin to wait, stand in the order in
 * which they are due: a timer need only look at the head. */
#ifndef ROWCAST_BASE_QUEUE_H
#define ROWCAST_BASE_QUEUE_H

#include <stddef.h>

struct queue_link {
    struct queue_link *prev, *next; /* itself when in no queue */
};

struct queue {
    struct queue_link ends; /* next: head, prev: tail */
};

#define queue_item(link, type, member)                                                     \
    ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void
queue_link_init(struct queue_link *link)
{
    link->prev = link->next = link;
}

static inline void
queue_init(struct queue *queue)
{
    queue_link_init(&queue->ends);
}

/* Harmless for a link that is in no queue. */
static inline void
queue_remove(struct queue_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    queue_link_init(link);
}

/* At the tail; takes it out of the queue it was in. */
static inline void
queue_push(struct queue *queue, struct queue_link *link)
{
    queue_remove(link);
    link->prev = queue->ends.prev;
    link->next = &queue->ends;
    queue->ends.prev->next = link;
    queue->ends.prev = link;
}

static inline struct queue_link *
queue_head(const struct queue *queue)
{
    /* The analyzer does not see that who frees an item has unlinked it. */
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return queue->ends.next == &queue->ends ? NULL : queue->ends.next;
}

/* The one behind a link that is in the queue; NULL: it is the last. */
static inline struct queue_link *
queue_next(const struct queue *queue, const struct queue_link *link)
{
    return link->next == &queue->ends ? NULL : link->next;
}

static inline int
queue_is_linked(const struct queue_link *link)
{
    return link->next != link;
}

#endif
