/* keys.h - the keys that tickets are signed with, from a file that is written by hand.
 *
 *     # a comment
 *     kid: 2026-11
 *     5c1f...                          a secret: HS256, the bytes of the line
 *
 *     kid: login-service
 *     -----BEGIN PUBLIC KEY-----       RS256 or ES256, by the key's type
 *     ...
 *     -----END PUBLIC KEY-----
 *
 * A single key needs no `kid:` line, nor does the first of several. */
#ifndef ROWCAST_ACCESS_KEYS_H
#define ROWCAST_ACCESS_KEYS_H

#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "base/slice.h"

#define TICKET_KEYS_MAX 16        /* in one file */
#define TICKET_KEY_FILE_MAX 65536 /* bytes */
#define TICKET_KID_MAX 128        /* bytes */
#define TICKET_SECRET_GOOD 32     /* bytes: as long as the hash, RFC 7518 section 3.2 */
#define TICKET_TRIES_MAX 4        /* keys that a ticket without a kid is tried with */
#define TICKET_RSA_BITS_MIN 2048  /* RFC 7518 section 3.3 */

enum ticket_alg { TICKET_HS256, TICKET_RS256, TICKET_ES256 };

/* The name as `alg` has it. */
const char *ticket_alg_name(enum ticket_alg alg);

/* What the keys of a file are for: a verifier has public keys, a signer private ones; secrets do
 * for both. */
enum ticket_use { TICKET_VERIFIES, TICKET_SIGNS };

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

struct ticket_key {
    char *kid; /* NULL: it has none */
    enum ticket_alg alg;
    char *bytes; /* the secret, or the PEM block; NUL-terminated */
    size_t len;
    struct evp_pkey_st *pkey; /* the PEM block, parsed; NULL: a secret */
};

struct ticket_keys {
    struct ticket_key items[TICKET_KEYS_MAX];
    size_t count; /* at least 1 */
};

/* Reads the file. Returns NULL with *error, which names the file and the line and never quotes
 * what stands there. Keys that are weak, and a file with secrets that every user may read, are
 * warned of in the log (NULL: silently taken). */
struct ticket_keys *ticket_keys_load(const char *path, enum ticket_use use,
                                     const struct log *log, struct error *error);

/* The same from the file's content; `path` is for the errors. */
struct ticket_keys *ticket_keys_parse(struct slice text, const char *path,
                                      enum ticket_use use, const struct log *log,
                                      struct error *error);

/* Wipes and frees them. */
void ticket_keys_free(struct ticket_keys *keys);

#endif
