/* limits.h - how many streams a user and an address may have, and how many requests an address may
 * make: over all workers, in memory that they share.
 *
 * Addresses are counted as what one subscriber has: an IPv4 address, the first 64 bits of an IPv6
 * address (a host has all the addresses behind them to choose from), or any other text as it
 * is. An anonymous user and a missing address are not counted. */
#ifndef ROWCAST_LIMITS_LIMITS_H
#define ROWCAST_LIMITS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define LIMITS_CONNECTS_MAX 60000 /* a minute: one in a millisecond */

struct limits; /* NULL: there are none */

/* 0: no limit. */
struct limits_config {
    uint64_t per_user;             /* streams */
    uint64_t per_address;          /* streams */
    uint64_t connects_per_address; /* requests a minute, and as many at once */
    size_t workers;
};

/* Before the workers are forked. Returns 0 and *quota (NULL when nothing is limited), or -1
 * with *error. */
int limits_new(struct limits **limits, const struct limits_config *config,
               struct error *error);
void limits_free(struct limits *limits);

/* Counts a request of the address, whatever comes of it. Returns 0, or for how many milliseconds
 * the address should stay away, since it has come too often. now_ms: as for token_bucket_take. */
uint64_t limits_visit(const struct limits *limits, const char *address, uint64_t now_ms);

struct limits_reader {
    size_t worker;       /* the caller's number */
    const char *user;    /* NULL: anonymous */
    const char *address; /* NULL: none */
};

/* The same, as it is counted: for an answer that may have to ask once its request is gone. */
struct limits_claim {
    uint64_t user, address; /* hashes; 0: not counted */
};

/* What an open stream, or an answer that is not taken, takes up. */
struct limits_hold {
    size_t user, address; /* places, see limits/counts.h */
};
#define LIMITS_NO_HOLD ((struct limits_hold){SIZE_MAX, SIZE_MAX})

enum limits_verdict { LIMITS_GRANTED, LIMITS_USER_FULL, LIMITS_ADDRESS_FULL };

/* Asks for a stream. Granted, *hold is to be given back. */
enum limits_verdict limits_admit(const struct limits *limits,
                                 const struct limits_reader *reader,
                                 struct limits_hold *hold);
struct limits_claim limits_claim_of(const struct limits *limits,
                                    const struct limits_reader *reader);
enum limits_verdict limits_admit_claim(const struct limits *limits, size_t worker,
                                       const struct limits_claim *claim,
                                       struct limits_hold *hold);
void limits_release(const struct limits *limits, struct limits_hold *hold);

/* A worker has died: what it held is free. */
void limits_forget(const struct limits *limits, size_t worker);

/* The hash of an address as it is counted: two addresses of one subscriber have the same. */
uint64_t limits_hash_address(const struct hash_key *key, const char *address);

#endif
