/* hash.h - a keyed hash of bytes, for every table whose names come from outside.
 *
 * A stranger who knows the hash can choose names that all fall into one place of a table, and
 * each access then walks over all of them. With a key that only this process knows he cannot.
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). It is no
 * checksum of files and no signature: see records_hash and access/signature.h for those. */
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

/* The hash of a list of texts, one after the other: begin with 0. ("a", "b") differs from ("ab"),
 * and NULL from the empty text. */
uint64_t hash_add(const struct hash_key *key, uint64_t hash, struct slice text);

#endif
