/* turns.c - the queues of streams that are behind; see hub/turns.h. */
#include "config.h"

#include "hub/turns.h"

int
turns_init(struct turns *turns, struct error *error)
{
    queue_init(&turns->fresh);
    for (unsigned i = 0; i < TURN_SHARES; i++)
        queue_init(&turns->shares[i]);
    return hash_key_make(&turns->key, error);
}

uint8_t
turns_share(const struct turns *turns, const char *address)
{
    if (address == NULL)
        return 0;
    return (uint8_t)(limits_hash_address(&turns->key, address) & (TURN_SHARES - 1));
}

void
turns_push(struct turns *turns, struct stream *stream)
{
    turns_remove(turns, stream);
    if (stream->steps < TURNS_FRESH_STEPS) {
        queue_push(&turns->fresh, &stream->turn);
        return;
    }
    queue_push(&turns->shares[stream->share], &stream->turn);
    turns->waiting++;
}

void
turns_remove(struct turns *turns, struct stream *stream)
{
    if (!queue_is_linked(&stream->turn))
        return;
    turns->waiting -= stream->steps >= TURNS_FRESH_STEPS;
    queue_remove(&stream->turn);
}

bool
turns_is_empty(const struct turns *turns)
{
    return queue_head(&turns->fresh) == NULL && turns->waiting == 0;
}

/* The first stream of the next share that has one. */
static struct queue_link *
next_of_shares(struct turns *turns)
{
    struct queue_link *link = NULL;
    while (turns->waiting > 0 && link == NULL) {
        turns->next_share = (turns->next_share + 1) & (TURN_SHARES - 1);
        link = queue_head(&turns->shares[turns->next_share]);
    }
    return link;
}

struct stream *
turns_take(struct turns *turns)
{
    struct queue_link *link = queue_head(&turns->fresh);
    /* By turns one of each kind, so that a flood of new streams does not stop the others. */
    if (link == NULL || turns->fresh_was_last) {
        struct queue_link *other = next_of_shares(turns);
        link = other == NULL ? link : other;
    }
    if (link == NULL)
        return NULL;
    struct stream *stream = queue_item(link, struct stream, turn);
    turns->fresh_was_last = stream->steps < TURNS_FRESH_STEPS;
    turns_remove(turns, stream);
    if (stream->steps < UINT16_MAX)
        stream->steps++;
    return stream;
}

void
turns_start_clock(struct turns *turns, uint64_t ns)
{
    turns->until_ns = uv_hrtime() + ns;
}

void
turns_allow(struct turns *turns, uint64_t ns)
{
    uint64_t until_ns = uv_hrtime() + ns;
    if (turns->until_ns < until_ns)
        turns->until_ns = until_ns;
}

bool
turns_time_is_over(const struct turns *turns)
{
    return uv_hrtime() >= turns->until_ns;
}
