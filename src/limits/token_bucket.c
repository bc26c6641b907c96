/* token_bucket.c - the generic cell rate algorithm (ITU-T I.371, appendix I.A) on a table of
 * words. */
#include "config.h"

#include "limits/token_bucket.h"

#include <string.h>

/* A word: the key's upper bits, and when the bucket is full again. */
#define TIME_BITS 44
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

#define TRIES                                                                              \
    64 /* after so many tries at which others were faster the token is given away */

struct place {
    _Atomic uint64_t *slot;
    uint64_t word; /* as it was seen */
};

/* Where the key's bucket is, else the first free place, else the one of least worth. */
static struct place
token_bucket_find(const struct token_buckets *rate, uint64_t key, uint64_t now_ms)
{
    struct place best = {NULL, 0};
    for (size_t i = 0; i < TOKEN_BUCKET_WINDOW; i++) {
        _Atomic uint64_t *slot = &rate->slots[(key + i) & (rate->slot_count - 1)];
        uint64_t word = atomic_load(slot);
        uint64_t full_ms = word & TIME_MASK;
        if (full_ms > now_ms && word >> TIME_BITS == key >> TIME_BITS)
            return (struct place){slot, word};
        if (best.slot == NULL ||
            ((best.word & TIME_MASK) > now_ms && full_ms < (best.word & TIME_MASK)))
            best = (struct place){slot, word};
    }
    return best;
}

uint64_t
token_bucket_take(const struct token_buckets *rate, uint64_t key, uint64_t now_ms)
{
    for (int i = 0; i < TRIES; i++) {
        struct place place = token_bucket_find(rate, key, now_ms);
        uint64_t full_ms = place.word & TIME_MASK;
        if (full_ms < now_ms || place.word >> TIME_BITS != key >> TIME_BITS)
            full_ms = now_ms;
        if (full_ms + rate->interval_ms > now_ms + rate->depth_ms)
            return full_ms - now_ms;
        uint64_t word =
            (key >> TIME_BITS << TIME_BITS) | ((full_ms + rate->interval_ms) & TIME_MASK);
        if (atomic_compare_exchange_strong(place.slot, &place.word, word))
            return 0;
    }
    return 0;
}

int
token_rate_init(struct token_rate *rate, uint64_t interval_ms, uint64_t burst,
                struct error *error)
{
    memset(rate, 0, sizeof *rate);
    rate->buckets = (struct token_buckets){.slots = rate->slots,
                                           .slot_count = TOKEN_RATE_SLOTS,
                                           .interval_ms = interval_ms,
                                           .depth_ms = interval_ms * burst};
    return hash_key_make(&rate->key, error);
}
