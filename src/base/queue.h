/* queue.h - a doubly linked list whose links are part of the items: all operations O(1).
 *
 * If all items wait equally long and are pushed when they begin to wait, then the head is due
 * first, and a timer looks only at the head. */
#ifndef ROWCAST_BASE_QUEUE_H
#define ROWCAST_BASE_QUEUE_H

#include <stddef.h>

struct queue_link {
    struct queue_link *prev, *next; /* the link itself when it is in no queue */
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

/* Puts the link at the tail, after removing it from the queue that it is in. */
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
    /* The analyzer does not see that an item is unlinked before it is freed. */
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return queue->ends.next == &queue->ends ? NULL : queue->ends.next;
}

/* The link behind `link`, which must be in the queue; NULL when `link` is the last. */
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
