/* quota.h - how many streams a user and an address may have, and how often an address may come:
 * over all workers, in memory that they share.
 *
 * Addresses are counted as what one subscriber has: an IPv4 address, the first 64 bits of an IPv6
 * address (a host has all the addresses behind them to choose from), or any other text as it
 * is. Nobody's user and no address at all are not counted. */
#ifndef ROWCAST_QUOTA_H
#define ROWCAST_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define QUOTA_CONNECTS_MAX 60000 /* a minute: one in a millisecond */

struct quota; /* NULL: there are none */

/* 0: no limit. */
struct quota_config {
    uint64_t per_user;             /* streams */
    uint64_t per_address;          /* streams */
    uint64_t connects_per_address; /* a minute, and as many at once */
    size_t workers;
};

/* Before the workers are forked. Returns 0 and *quota (NULL when nothing is limited), or -1
 * with *error. */
int quota_new(struct quota **quota, const struct quota_config *config, struct error *error);
void quota_free(struct quota *quota);

struct quota_reader {
    size_t worker;       /* the caller's number */
    const char *user;    /* NULL: nobody */
    const char *address; /* NULL: none */
    uint64_t now_ms;     /* as for rate_take */
};

/* What an open stream takes up. */
struct quota_hold {
    size_t user, address; /* places, see tally.h */
};
#define QUOTA_NO_HOLD ((struct quota_hold){SIZE_MAX, SIZE_MAX})

enum quota_verdict {
    QUOTA_GRANTED,
    QUOTA_USER_FULL,
    QUOTA_ADDRESS_FULL,
    QUOTA_TOO_OFTEN /* the address has come too often of late */
};

/* Asks for a stream. Granted, *hold is to be given back; else *wait_ms is how long the reader
 * should stay away at least, which may be 0. */
enum quota_verdict quota_admit(const struct quota *quota, const struct quota_reader *reader,
                               struct quota_hold *hold, uint64_t *wait_ms);
void quota_release(const struct quota *quota, struct quota_hold *hold);

/* A worker has died: what it held is free. */
void quota_forget(const struct quota *quota, size_t worker);

/* A keyed hash of some texts, for tables that strangers must not aim at (SipHash-1-3). */
struct quota_key {
    uint64_t halves[2];
};
int quota_key_make(struct quota_key *key, struct error *error); /* random; 0, or -1 */
uint64_t quota_hash(const struct quota_key *key, const void *bytes, size_t len);
/* Of an address, as it is counted; kind parts those of different tables. */
uint64_t quota_hash_address(const struct quota_key *key, const char *address);

#endif
