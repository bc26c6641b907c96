/* hash.c - SipHash-2-4, as in its authors' paper, and the key. */
#include "config.h"

#include "base/hash.h"

#include <endian.h>
#include <errno.h>
#include <unistd.h>

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
    sip_round(v);
    v[0] ^= word;
}

uint64_t
hash_bytes(const struct hash_key *key, const void *bytes, size_t len)
{
    uint64_t v[4] = {key->halves[0] ^ UINT64_C(0x736f6d6570736575),
                     key->halves[1] ^ UINT64_C(0x646f72616e646f6d),
                     key->halves[0] ^ UINT64_C(0x6c7967656e657261),
                     key->halves[1] ^ UINT64_C(0x7465646279746573)};
    const unsigned char *p = bytes;
    uint64_t last = (uint64_t)len << 56;
    uint64_t word;
    for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
        memcpy(&word, p, sizeof word);
        sip_word(v, le64toh(word));
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
hash_add(const struct hash_key *key, uint64_t hash, struct slice text)
{
    uint64_t words[] = {hash, text.p != NULL,
                        text.p != NULL ? hash_bytes(key, text.p, text.len) : 0};
    return hash_bytes(key, words, sizeof words);
}

int
hash_key_make(struct hash_key *key, struct error *error)
{
    if (getentropy(key, sizeof *key) != 0)
        return error_set(error, "cannot get random bytes: %s", strerror(errno));
    return 0;
}
