/* limits.c - the limits' shared memory, and the names' way into it; see limits/limits.h.
 *
 * The pages are there only when they are touched: a table costs what is in it. */
#include "config.h"

#include "limits/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "limits/token_bucket.h"
#include "limits/counts.h"

#define TOKEN_BUCKET_SLOTS ((size_t)1 << 16)
#define COUNTS_SLOTS ((size_t)1 << 18) /* for each worker: 2 MiB when it is full */
#define MINUTE_MS 60000

struct limits {
    struct limits_config config;
    struct limits_key user_key;
    struct limits_key address_key;
    struct token_buckets rate;
    struct counts counts;
    size_t bytes;
    _Atomic uint64_t words[];
};

/* --- hashes ------------------------------------------------------------------------------ */

static uint64_t
rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF"; in this machine's byte order, since
 * the hash never leaves it. */
uint64_t
limits_hash(const struct limits_key *key, const void *bytes, size_t len)
{
    uint64_t v[4] = {key->halves[0] ^ UINT64_C(0x736f6d6570736575),
                     key->halves[1] ^ UINT64_C(0x646f72616e646f6d),
                     key->halves[0] ^ UINT64_C(0x6c7967656e657261),
                     key->halves[1] ^ UINT64_C(0x7465646279746573)};
    const char *p = bytes;
    uint64_t last = (uint64_t)len << 56;
    uint64_t word;
    for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
        memcpy(&word, p, sizeof word);
        sip_word(v, word);
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int
limits_key_make(struct limits_key *key, struct error *error)
{
    if (getentropy(key, sizeof *key) != 0)
        return error_set(error, "cannot get random bytes: %s", strerror(errno));
    return 0;
}

uint64_t
limits_hash_address(const struct limits_key *key, const char *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char bytes[16];
    if (inet_pton(AF_INET, address, bytes) == 1)
        return limits_hash(key, bytes, 4);
    if (inet_pton(AF_INET6, address, bytes) != 1)
        return limits_hash(key, address, strlen(address));
    if (memcmp(bytes, mapped, sizeof mapped) == 0) /* ::ffff:192.0.2.7 is 192.0.2.7 */
        return limits_hash(key, bytes + sizeof mapped, 4);
    return limits_hash(key, bytes, 8);
}

/* --- admission --------------------------------------------------------------------------- */

/* Books a place; false when that is one too many. */
static bool
take_place(const struct limits *limits, size_t worker, uint64_t key, uint64_t most,
           size_t *place)
{
    *place = counts_add(&limits->counts, worker, key);
    if (*place == COUNTS_NOWHERE || counts_sum(&limits->counts, key) <= most)
        return true;
    counts_drop(&limits->counts, *place);
    *place = COUNTS_NOWHERE;
    return false;
}

static bool
user_has_too_many(const struct limits *limits, const struct limits_reader *reader,
                  struct limits_hold *hold)
{
    uint64_t most = limits->config.per_user;
    if (most == 0 || reader->user == NULL)
        return false;
    uint64_t key = limits_hash(&limits->user_key, reader->user, strlen(reader->user));
    return !take_place(limits, reader->worker, key, most, &hold->user);
}

enum limits_verdict
limits_admit(const struct limits *limits, const struct limits_reader *reader,
             struct limits_hold *hold, uint64_t *wait_ms)
{
    *hold = LIMITS_NO_HOLD;
    *wait_ms = 0;
    if (limits == NULL)
        return LIMITS_GRANTED;
    bool has_address = reader->address != NULL;
    uint64_t key =
        has_address ? limits_hash_address(&limits->address_key, reader->address) : 0;
    if (has_address && limits->config.connects_per_address > 0)
        *wait_ms = token_bucket_take(&limits->rate, key, reader->now_ms);
    if (*wait_ms > 0)
        return LIMITS_TOO_OFTEN;
    if (user_has_too_many(limits, reader, hold))
        return LIMITS_USER_FULL;
    uint64_t most = limits->config.per_address;
    if (!has_address || most == 0 ||
        take_place(limits, reader->worker, key, most, &hold->address))
        return LIMITS_GRANTED;
    limits_release(limits, hold);
    return LIMITS_ADDRESS_FULL;
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
    if (limits_key_make(&limits->user_key, error) != 0 ||
        limits_key_make(&limits->address_key, error) != 0) {
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
