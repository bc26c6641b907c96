/* ticket.h - signed tickets: JSON Web Tokens (RFC 7519) that say who reads and what.
 *
 * An application that knows its user signs a ticket, the page hands it to rowcast, and rowcast
 * needs no session of the application's. A ticket is a password while it
 * lasts: no error text and no log line quotes any of it, except times. */
#ifndef ROWCAST_ACCESS_TICKET_H
#define ROWCAST_ACCESS_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "event/filter.h"
#include "access/keys.h"

#define TICKET_MAX 8192     /* bytes of a ticket; Apache takes no longer header line */
#define TICKET_NAME_MAX 256 /* bytes of sub and of an audience */

/* Clocks of two machines differ a little, and many libraries set nbf to "now". exp has no such
 * grace: it was set on purpose. */
#define TICKET_NBF_GRACE_MS 5000

/* What a ticket says. Zero-initialised it says nothing. Owns its parts. */
struct ticket {
    char *sub;                /* the user, or NULL */
    struct patterns channels; /* a bound of what may be read, where has_channels says so */
    struct patterns publish;  /* likewise for writing; nothing in this file judges it */
    bool has_channels;        /* true with an empty list: nothing may be read */
    bool has_publish;
    int64_t expires_at_ms; /* Unix milliseconds; 0: never */
    int64_t not_before_ms; /* likewise; 0: at once */
    int64_t issued_at_ms;  /* likewise; 0: not known, and then older than any revocation */
};

/* What tickets are judged by. */
struct ticket_rules {
    const struct ticket_keys *keys;
    const char *audience; /* must be in `aud`; NULL: a ticket with an `aud` is refused */
    int64_t now_ms;       /* Unix milliseconds */
};

/* Reads a ticket in the compact form (RFC 7515 section 7.1) and judges it: form, algorithm and
 * key, signature, claims, times, audience, in this order. Returns 0, or the HTTP status of the
 * refusal (401; 503 when out of memory) with its line in *error. *ticket is set up in either
 * case and must be given to ticket_fini.
 *
 * The key decides the algorithm, never the ticket: one whose `alg` is not that of the key is
 * refused before anything is computed with it. A ticket with a `kid` is tried with the key of
 * that name only, one without with the first TICKET_TRIES_MAX keys of its algorithm. `crit`, a
 * `typ` but JWT, members given twice, base64 that is not exactly as encoders write it are
 * refused.
 *
 * Where RFC 7519 leaves it open: exp may be missing, and is then never; times may have
 * fractions, but must lie between 1970 and 9999 (milliseconds, as JavaScript has them, do not);
 * a claim that is not named here is ignored. */
int ticket_verify(const struct ticket_rules *rules, struct slice text,
                  struct ticket *ticket, struct error *error);

/* Signs what *ticket says, with the audience if that is not NULL. Returns the ticket as text,
 * for the caller to free, or NULL with *error. The key must be one for signing. */
char *ticket_sign(const struct ticket_key *key, const struct ticket *ticket,
                  const char *audience, struct error *error);

void ticket_fini(struct ticket *ticket);

/* The version of the OpenSSL that is loaded, such as "3.0.19". Static. */
const char *ticket_openssl_version(void);

#endif
