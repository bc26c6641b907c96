/* ece.h - a message for one browser, encrypted as RFC 8291 says, with aes128gcm of RFC 8188.
 *
 * The push service carries it and cannot read it. Called by the sender on threads of libuv's pool:
 * nothing here keeps a state. */
#ifndef ROWCAST_PUSH_ECE_H
#define ROWCAST_PUSH_ECE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

#define ECE_PUBLIC_BYTES 65 /* a point of P-256, uncompressed (RFC 8291 section 2.1) */
#define ECE_AUTH_BYTES 16   /* RFC 8291 section 3.2 */
#define ECE_SALT_BYTES 16

/* Push services take 4096 bytes (RFC 8030 section 7.2). Of them the header has 86, the
 * delimiter one and the tag 16; a message is one record (RFC 8291 section 4). */
#define ECE_MESSAGE_MAX 4096
#define ECE_TEXT_MAX (ECE_MESSAGE_MAX - 86 - 17)

/* What a browser gave for its subscription. */
struct ece_keys {
    unsigned char public_key[ECE_PUBLIC_BYTES];
    unsigned char auth[ECE_AUTH_BYTES];
};

/* Takes the two from base64url, with or without padding. Returns 0, or -1 with *error when one has
 * another length, or the key is no point of the curve (such a one could tell our secret,
 * RFC 8291 section 7). */
int ece_keys_parse(struct ece_keys *keys, struct slice public_key, struct slice auth,
                   struct error *error);

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/* What is random in a message; for tests. */
struct ece_chance {
    struct evp_pkey_st *key; /* of P-256 */
    unsigned char salt[ECE_SALT_BYTES];
};

/* Appends the message of the text, at most ECE_TEXT_MAX bytes. chance NULL: a new key pair and a
 * new salt, as each message must have. Returns 0, or -1 with *error (memory). About 100 µs. */
int ece_encrypt(struct buf *out, const struct ece_keys *keys, struct slice text,
                const struct ece_chance *chance, struct error *error);

/* RFC 8188 alone: what both sides know of a content. */
struct ece_secret {
    const unsigned char *salt; /* ECE_SALT_BYTES */
    struct slice ikm;          /* input keying material */
    struct slice key_id;       /* at most 255 bytes */
};

/* Appends header and only record of the text, of at most ECE_TEXT_MAX bytes. Returns 0, or -1
 * (memory). For ece_encrypt, and for the RFC's own example. */
int ece_append_content(struct buf *out, const struct ece_secret *secret, struct slice text);

#endif
