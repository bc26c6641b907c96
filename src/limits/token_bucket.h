/* token_bucket.h - token buckets for many keys in a table of fixed size, which processes may
 * share. Pure: the time comes in.
 *
 * Of a bucket only the time at which it will be full again is kept, in one word, changed by
 * compare-and-swap. So no lock is needed, nothing is lost when a process dies, and a bucket that is
 * full again is forgotten by itself: its place is free. */
#ifndef ROWCAST_LIMITS_TOKEN_BUCKET_H
#define ROWCAST_LIMITS_TOKEN_BUCKET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

/* Zero-initialised slots are an empty table. */
struct token_buckets {
    _Atomic uint64_t *slots;
    size_t slot_count;    /* a power of two, at least TOKEN_BUCKET_WINDOW */
    uint64_t interval_ms; /* in which one token comes; at least 1 */
    uint64_t depth_ms;    /* in which an empty bucket fills: interval_ms times the burst */
};

/* A table of one process's own, for keys that its hash key makes of names. */
#define TOKEN_RATE_SLOTS 1024
struct token_rate {
    struct hash_key key;
    struct token_buckets buckets;
    _Atomic uint64_t slots[TOKEN_RATE_SLOTS];
};

/* One token in interval_ms, and `burst` at once. `rate` stays where it is. Returns 0, or -1 with
 * *error when the system gives no random bytes. */
int token_rate_init(struct token_rate *rate, uint64_t interval_ms, uint64_t burst,
                    struct error *error);

/* So many places a key may have. When all of them are taken, the bucket that is nearest to being
 * full is forgotten: that gives least away. */
#define TOKEN_BUCKET_WINDOW 16

/* Takes a token from the key's bucket. Returns 0, or, when it is empty, the milliseconds until
 * it is full again; nothing is taken then. key: a hash that strangers cannot aim
 * (limits/limits.c). now_ms: of a clock that does not go back, the same for all processes,
 * below 2^44. */
uint64_t token_bucket_take(const struct token_buckets *rate, uint64_t key, uint64_t now_ms);

#endif
