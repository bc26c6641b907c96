/* hash.h - a keyed hash of bytes, for every table whose names come from outside.
 *
 * An attacker who knows the hash can choose names that all fall into one bucket of a table, and
 * each access then compares all these names. So the hash has a key that only this process knows.
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). For a checksum
 * see records_hash, for signatures access/signature.h. */
#ifndef ROWCAST_BASE_HASH_H
#define ROWCAST_BASE_HASH_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct hash_key {
    uint64_t halves[2];
};

/* Takes random bytes from the kernel. Returns 0, or -1 with *error. */
int hash_key_make(struct hash_key *key, struct error *error);

uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t len);

/* Adds a text to the hash of a list of texts; the hash of an empty list is 0. ("a", "b") differs
 * from ("ab"), and NULL from the empty text. */
uint64_t hash_add(const struct hash_key *key, uint64_t hash, struct slice text);

#endif
