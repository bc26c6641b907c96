/* limits.c - the limits' shared memory, and the names' way into it; see limits/limits.h.
 *
 * The pages are there only when they are touched: a table costs what is in it. */
#include "config.h"

#include "limits/limits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "limits/token_bucket.h"
#include "limits/address.h"
#include "limits/counts.h"

#define TOKEN_BUCKET_SLOTS ((size_t)1 << 16)
#define COUNTS_SLOTS ((size_t)1 << 18) /* for each worker: 2 MiB when it is full */
#define MINUTE_MS 60000

struct limits {
    struct limits_config config;
    struct hash_key user_key;
    struct hash_key address_key;
    struct token_buckets rate;
    struct counts counts;
    size_t bytes;
    _Atomic uint64_t words[];
};

/* --- keys ---------------------------------------------------------------------------- */

uint64_t
limits_hash_address(const struct hash_key *key, const char *address)
{
    unsigned char bytes[ADDRESS_BYTES_MAX];
    struct slice subscriber;
    address_find_subscriber(address, bytes, &subscriber);
    return hash_bytes(key, subscriber.p, subscriber.len);
}

/* --- admission --------------------------------------------------------------------------- */

struct bound {
    uint64_t key; /* whose places are counted */
    uint64_t most;
};

/* Books a place; false when that is one too many. */
static bool
take_place(const struct limits *limits, size_t worker, struct bound bound, size_t *place)
{
    *place = counts_add(&limits->counts, worker, bound.key);
    if (*place == COUNTS_NOWHERE || counts_sum(&limits->counts, bound.key) <= bound.most)
        return true;
    counts_drop(&limits->counts, *place);
    *place = COUNTS_NOWHERE;
    return false;
}

/* Zero is for what is not counted. */
static uint64_t
claim_hash(uint64_t hash)
{
    return hash == 0 ? 1 : hash;
}

struct limits_claim
limits_claim_of(const struct limits *limits, const struct limits_reader *reader)
{
    struct limits_claim claim = {0, 0};
    if (limits == NULL)
        return claim;
    if (limits->config.per_user > 0 && reader->user != NULL)
        claim.user =
            claim_hash(hash_bytes(&limits->user_key, reader->user, strlen(reader->user)));
    if (limits->config.per_address > 0 && reader->address != NULL)
        claim.address =
            claim_hash(limits_hash_address(&limits->address_key, reader->address));
    return claim;
}

enum limits_verdict
limits_admit_claim(const struct limits *limits, size_t worker,
                   const struct limits_claim *claim, struct limits_hold *hold)
{
    *hold = LIMITS_NO_HOLD;
    if (limits == NULL)
        return LIMITS_GRANTED;
    const struct bound user = {claim->user, limits->config.per_user};
    const struct bound address = {claim->address, limits->config.per_address};
    if (user.key != 0 && !take_place(limits, worker, user, &hold->user))
        return LIMITS_USER_FULL;
    if (address.key == 0 || take_place(limits, worker, address, &hold->address))
        return LIMITS_GRANTED;
    limits_release(limits, hold);
    return LIMITS_ADDRESS_FULL;
}

enum limits_verdict
limits_admit(const struct limits *limits, const struct limits_reader *reader,
             struct limits_hold *hold)
{
    struct limits_claim claim = limits_claim_of(limits, reader);
    return limits_admit_claim(limits, reader->worker, &claim, hold);
}

uint64_t
limits_visit(const struct limits *limits, const char *address, uint64_t now_ms)
{
    if (limits == NULL || limits->config.connects_per_address == 0 || address == NULL)
        return 0;
    return token_bucket_take(&limits->rate,
                             limits_hash_address(&limits->address_key, address), now_ms);
}

void
limits_release(const struct limits *limits, struct limits_hold *hold)
{
    if (limits == NULL)
        return;
    counts_drop(&limits->counts, hold->user);
    counts_drop(&limits->counts, hold->address);
    *hold = LIMITS_NO_HOLD;
}

void
limits_forget(const struct limits *limits, size_t worker)
{
    if (limits != NULL)
        counts_clear(&limits->counts, worker);
}

/* --- life -------------------------------------------------------------------------------- */

static void
limits_lay_out(struct limits *limits)
{
    uint64_t often = limits->config.connects_per_address;
    limits->rate.slots = limits->words;
    limits->rate.slot_count = TOKEN_BUCKET_SLOTS;
    if (often > 0) {
        /* Whole milliseconds, rounded up: rather one fewer in a minute than one more. */
        limits->rate.interval_ms = (MINUTE_MS + often - 1) / often;
        limits->rate.depth_ms = limits->rate.interval_ms * often;
    }
    limits->counts = (struct counts){.slots = limits->words + TOKEN_BUCKET_SLOTS,
                                     .slot_count = COUNTS_SLOTS,
                                     .workers = limits->config.workers};
}

int
limits_new(struct limits **made, const struct limits_config *config, struct error *error)
{
    *made = NULL;
    if (config->per_user == 0 && config->per_address == 0 &&
        config->connects_per_address == 0)
        return 0;
    size_t words = TOKEN_BUCKET_SLOTS + config->workers * COUNTS_SLOTS;
    size_t bytes = sizeof(struct limits) + words * sizeof(uint64_t);
    struct limits *limits =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (limits == MAP_FAILED)
        return error_set(error, "cannot share memory: %s", strerror(errno));
    limits->config = *config;
    limits->bytes = bytes;
    if (hash_key_make(&limits->user_key, error) != 0 ||
        hash_key_make(&limits->address_key, error) != 0) {
        limits_free(limits);
        return -1;
    }
    limits_lay_out(limits);
    *made = limits;
    return 0;
}

void
limits_free(struct limits *limits)
{
    if (limits != NULL)
        munmap(limits, limits->bytes);
}
