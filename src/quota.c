/* quota.c - the limits' shared memory, and the names' way into it; see quota.h.
 *
 * The pages are there only when they are touched: a table costs what is in it. */
#include "config.h"

#include "quota.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rate.h"
#include "tally.h"

#define RATE_SLOTS ((size_t)1 << 16)
#define TALLY_SLOTS ((size_t)1 << 18) /* for each worker: 2 MiB when it is full */
#define MINUTE_MS 60000

struct quota {
    struct quota_config config;
    struct quota_key user_key;
    struct quota_key address_key;
    struct rate rate;
    struct tally tally;
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
quota_hash(const struct quota_key *key, const void *bytes, size_t len)
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
quota_key_make(struct quota_key *key, struct error *error)
{
    if (getentropy(key, sizeof *key) != 0)
        return error_set(error, "cannot get random bytes: %s", strerror(errno));
    return 0;
}

uint64_t
quota_hash_address(const struct quota_key *key, const char *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char bytes[16];
    if (inet_pton(AF_INET, address, bytes) == 1)
        return quota_hash(key, bytes, 4);
    if (inet_pton(AF_INET6, address, bytes) != 1)
        return quota_hash(key, address, strlen(address));
    if (memcmp(bytes, mapped, sizeof mapped) == 0) /* ::ffff:192.0.2.7 is 192.0.2.7 */
        return quota_hash(key, bytes + sizeof mapped, 4);
    return quota_hash(key, bytes, 8);
}

/* --- admission --------------------------------------------------------------------------- */

/* Books a place; false when that is one too many. */
static bool
take_place(const struct quota *quota, size_t worker, uint64_t key, uint64_t most,
           size_t *place)
{
    *place = tally_add(&quota->tally, worker, key);
    if (*place == TALLY_NOWHERE || tally_sum(&quota->tally, key) <= most)
        return true;
    tally_drop(&quota->tally, *place);
    *place = TALLY_NOWHERE;
    return false;
}

static bool
user_has_too_many(const struct quota *quota, const struct quota_reader *reader,
                  struct quota_hold *hold)
{
    uint64_t most = quota->config.per_user;
    if (most == 0 || reader->user == NULL)
        return false;
    uint64_t key = quota_hash(&quota->user_key, reader->user, strlen(reader->user));
    return !take_place(quota, reader->worker, key, most, &hold->user);
}

enum quota_verdict
quota_admit(const struct quota *quota, const struct quota_reader *reader,
            struct quota_hold *hold, uint64_t *wait_ms)
{
    *hold = QUOTA_NO_HOLD;
    *wait_ms = 0;
    if (quota == NULL)
        return QUOTA_GRANTED;
    bool has_address = reader->address != NULL;
    uint64_t key =
        has_address ? quota_hash_address(&quota->address_key, reader->address) : 0;
    if (has_address && quota->config.connects_per_address > 0)
        *wait_ms = rate_take(&quota->rate, key, reader->now_ms);
    if (*wait_ms > 0)
        return QUOTA_TOO_OFTEN;
    if (user_has_too_many(quota, reader, hold))
        return QUOTA_USER_FULL;
    uint64_t most = quota->config.per_address;
    if (!has_address || most == 0 ||
        take_place(quota, reader->worker, key, most, &hold->address))
        return QUOTA_GRANTED;
    quota_release(quota, hold);
    return QUOTA_ADDRESS_FULL;
}

void
quota_release(const struct quota *quota, struct quota_hold *hold)
{
    if (quota == NULL)
        return;
    tally_drop(&quota->tally, hold->user);
    tally_drop(&quota->tally, hold->address);
    *hold = QUOTA_NO_HOLD;
}

void
quota_forget(const struct quota *quota, size_t worker)
{
    if (quota != NULL)
        tally_clear(&quota->tally, worker);
}

/* --- life -------------------------------------------------------------------------------- */

static void
quota_lay_out(struct quota *quota)
{
    uint64_t often = quota->config.connects_per_address;
    quota->rate.slots = quota->words;
    quota->rate.slot_count = RATE_SLOTS;
    if (often > 0) {
        /* Whole milliseconds, rounded up: rather one fewer in a minute than one more. */
        quota->rate.interval_ms = (MINUTE_MS + often - 1) / often;
        quota->rate.depth_ms = quota->rate.interval_ms * often;
    }
    quota->tally = (struct tally){.slots = quota->words + RATE_SLOTS,
                                  .slot_count = TALLY_SLOTS,
                                  .workers = quota->config.workers};
}

int
quota_new(struct quota **made, const struct quota_config *config, struct error *error)
{
    *made = NULL;
    if (config->per_user == 0 && config->per_address == 0 &&
        config->connects_per_address == 0)
        return 0;
    size_t words = RATE_SLOTS + config->workers * TALLY_SLOTS;
    size_t bytes = sizeof(struct quota) + words * sizeof(uint64_t);
    struct quota *quota =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (quota == MAP_FAILED)
        return error_set(error, "cannot share memory: %s", strerror(errno));
    quota->config = *config;
    quota->bytes = bytes;
    if (quota_key_make(&quota->user_key, error) != 0 ||
        quota_key_make(&quota->address_key, error) != 0) {
        quota_free(quota);
        return -1;
    }
    quota_lay_out(quota);
    *made = quota;
    return 0;
}

void
quota_free(struct quota *quota)
{
    if (quota != NULL)
        munmap(quota, quota->bytes);
}
