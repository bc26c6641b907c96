/* vapid.h - who sends: the key pair that the push services know an application by (VAPID, RFC
 * 8292), and the token that proves it.
 *
 * A browser subscribes with the public key, and the push service then takes messages from its
 * owner alone. `rowcast push` has the private key; `rowcast serve` gives out the public one. */
#ifndef ROWCAST_PUSH_VAPID_H
#define ROWCAST_PUSH_VAPID_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"

#define VAPID_PUBLIC_TEXT 88 /* bytes of a public key as base64url, with a NUL */
#define VAPID_KEYS_MAX 4     /* in one file: after a change the old ones go on to be used */
#define VAPID_FILE_MAX 16384 /* bytes */
#define VAPID_LIFE_MS                                                                      \
    INT64_C(43200000) /* of a token: 12 h; at most 24 (RFC 8292 section 2) */

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

struct vapid_key {
    struct evp_pkey_st *pkey;
    char public_text[VAPID_PUBLIC_TEXT]; /* base64url of the uncompressed point */
};

struct vapid_keys {
    struct vapid_key items[VAPID_KEYS_MAX]; /* the first one is for new subscriptions */
    size_t count;                           /* at least 1 */
};

/* Makes a key pair and writes its private key to a new file of mode 0600. Refuses a path where
 * something is. Returns 0 and the public key, or -1 with *error. */
int vapid_make_file(const char *path, char public_text[VAPID_PUBLIC_TEXT],
                    struct error *error);

/* Reads the private keys of a PEM file. A file that everybody may read is warned of in the log
 * (NULL: taken silently). NULL with *error, which says what to do and quotes nothing. */
struct vapid_keys *vapid_keys_load(const char *path, const struct log *log,
                                   struct error *error);
void vapid_keys_free(struct vapid_keys *keys);

/* The key with that public key; NULL: none. */
const struct vapid_key *vapid_keys_find(const struct vapid_keys *keys,
                                        const char *public_text);

struct vapid_claims {
    const char *audience; /* the origin of the push service */
    const char *subject;  /* mailto: or https:, whom its operators may ask */
    int64_t now_ms;       /* Unix time; the token is good for VAPID_LIFE_MS */
};

/* Appends the value of the header Authorization: `vapid t=TOKEN, k=KEY` (RFC 8292 section 3).
 * Returns 0, or -1 when out of memory. */
int vapid_append_authorization(struct buf *buf, const struct vapid_key *key,
                               const struct vapid_claims *claims);

#endif
