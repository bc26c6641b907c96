/* ece.c - the key agreement of RFC 8291 and the one record of RFC 8188; see push/ece.h.
 *
 * HKDF (RFC 5869) gives at most one block here, so an extract is one HMAC and an expand another. */
#include "config.h"

#include "push/ece.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <uv.h>

#include "base/base64url.h"

#define HASH_BYTES 32
#define SECRET_BYTES 32 /* of the key agreement */
#define CEK_BYTES 16
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define RECORD_SIZE 4096
#define LAST_RECORD 2 /* the delimiter of a last record, RFC 8188 section 2 */

/* --- keys --------------------------------------------------------------------------- */

static int
take_bytes(struct slice text, unsigned char *out, size_t len)
{
    struct buf bytes = {0};
    while (text.len > 0 && text.p[text.len - 1] == '=')
        text.len--;
    int result = text.p == NULL ? -1 : base64url_decode(&bytes, text);
    if (result == 0 && (bytes.failed || bytes.len != len))
        result = -1;
    if (result == 0)
        memcpy(out, bytes.p, len);
    buf_fini(&bytes);
    return result;
}

/* The browser's key as OpenSSL has it; NULL when it is no point of P-256. */
static EVP_PKEY *
read_point(const unsigned char *point)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    if (context != NULL && EVP_PKEY_paramgen_init(context) == 1 &&
        EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1 &&
        EVP_PKEY_paramgen(context, &key) == 1 &&
        EVP_PKEY_set1_encoded_public_key(key, point, ECE_PUBLIC_BYTES) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return key;
}

int
ece_keys_parse(struct ece_keys *keys, struct slice public_key, struct slice auth,
               struct error *error)
{
    if (take_bytes(public_key, keys->public_key, ECE_PUBLIC_BYTES) != 0)
        return error_set(error, "keys.p256dh is not base64url of %d bytes",
                         ECE_PUBLIC_BYTES);
    if (take_bytes(auth, keys->auth, ECE_AUTH_BYTES) != 0)
        return error_set(error, "keys.auth is not base64url of %d bytes", ECE_AUTH_BYTES);
    EVP_PKEY *key = read_point(keys->public_key);
    if (key == NULL)
        return error_set(error, "keys.p256dh is no point of the curve P-256");
    EVP_PKEY_free(key);
    return 0;
}

/* --- from two keys and a salt to what encrypts -------------------------------------- */

struct derived {
    unsigned char cek[CEK_BYTES];
    unsigned char nonce[NONCE_BYTES];
};

static int
hmac(unsigned char out[HASH_BYTES], const unsigned char *key, size_t key_len,
     struct slice text)
{
    unsigned len = HASH_BYTES;
    const unsigned char *bytes = (const unsigned char *)text.p;
    return HMAC(EVP_sha256(), key, (int)key_len, bytes, text.len, out, &len) != NULL ? 0
                                                                                     : -1;
}

/* The info of a label ends in NUL, and the counter of the only block is 1. */
static int
expand_label(unsigned char out[HASH_BYTES], const unsigned char prk[HASH_BYTES],
             const char *label)
{
    char info[64];
    size_t len = strlen(label) + 1;
    memcpy(info, label, len);
    info[len++] = 1;
    return hmac(out, prk, HASH_BYTES, (struct slice){info, len});
}

/* RFC 8291 section 3.4: the secret of both, bound to both public keys. */
static int
derive_ikm(unsigned char ikm[HASH_BYTES], const struct ece_keys *keys,
           const unsigned char *own, const unsigned char *secret)
{
    unsigned char prk[HASH_BYTES];
    static const char label[] = "WebPush: info"; /* with its NUL */
    char info[sizeof label + 2 * ECE_PUBLIC_BYTES + 1];
    memcpy(info, label, sizeof label);
    memcpy(info + sizeof label, keys->public_key, ECE_PUBLIC_BYTES);
    memcpy(info + sizeof label + ECE_PUBLIC_BYTES, own, ECE_PUBLIC_BYTES);
    info[sizeof info - 1] = 1;
    if (hmac(prk, keys->auth, ECE_AUTH_BYTES,
             (struct slice){(const char *)secret, SECRET_BYTES}) != 0)
        return -1;
    return hmac(ikm, prk, HASH_BYTES, (struct slice){info, sizeof info});
}

/* RFC 8188 sections 2.2 and 2.3. */
static int
derive(struct derived *derived, const unsigned char *salt, struct slice ikm)
{
    unsigned char prk[HASH_BYTES], cek[HASH_BYTES], nonce[HASH_BYTES];
    if (hmac(prk, salt, ECE_SALT_BYTES, ikm) != 0)
        return -1;
    if (expand_label(cek, prk, "Content-Encoding: aes128gcm") != 0 ||
        expand_label(nonce, prk, "Content-Encoding: nonce") != 0)
        return -1;
    memcpy(derived->cek, cek, CEK_BYTES);
    memcpy(derived->nonce, nonce, NONCE_BYTES);
    return 0;
}

/* The x of the shared point. */
static int
agree(EVP_PKEY *own, EVP_PKEY *theirs, unsigned char secret[SECRET_BYTES])
{
    size_t len = SECRET_BYTES;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    bool done = context != NULL && EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer(context, theirs) == 1 &&
                EVP_PKEY_derive(context, secret, &len) == 1 && len == SECRET_BYTES;
    EVP_PKEY_CTX_free(context);
    return done ? 0 : -1;
}

/* --- a message ---------------------------------------------------------------------- */

struct message {
    EVP_PKEY *own;
    EVP_PKEY *theirs;
    unsigned char own_public[ECE_PUBLIC_BYTES];
    unsigned char salt[ECE_SALT_BYTES];
};

static int
message_init(struct message *message, const struct ece_keys *keys,
             const struct ece_chance *chance)
{
    *message = (struct message){.theirs = read_point(keys->public_key)};
    if (chance != NULL) {
        memcpy(message->salt, chance->salt, ECE_SALT_BYTES);
        message->own = EVP_PKEY_up_ref(chance->key) == 1 ? chance->key : NULL;
    } else if (uv_random(NULL, NULL, message->salt, ECE_SALT_BYTES, 0, NULL) == 0) {
        message->own = EVP_EC_gen("P-256");
    }
    unsigned char *encoded = NULL;
    if (message->own == NULL || message->theirs == NULL ||
        EVP_PKEY_get1_encoded_public_key(message->own, &encoded) != ECE_PUBLIC_BYTES) {
        OPENSSL_free(encoded);
        return -1;
    }
    memcpy(message->own_public, encoded, ECE_PUBLIC_BYTES);
    OPENSSL_free(encoded);
    return 0;
}

static void
message_fini(struct message *message)
{
    EVP_PKEY_free(message->own);
    EVP_PKEY_free(message->theirs);
    ERR_clear_error();
}

/* RFC 8188 section 2.1: salt, record size, key id. */
static void
append_header(struct buf *out, const struct ece_secret *secret)
{
    const unsigned char size_and_length[5] = {0, 0, RECORD_SIZE >> 8, RECORD_SIZE & 0xff,
                                              (unsigned char)secret->key_id.len};
    buf_append(out, secret->salt, ECE_SALT_BYTES);
    buf_append(out, size_and_length, sizeof size_and_length);
    buf_append(out, secret->key_id.p, secret->key_id.len);
}

static int
append_record(struct buf *out, const struct derived *derived, struct slice text)
{
    static const unsigned char delimiter = LAST_RECORD;
    unsigned char *to = (unsigned char *)buf_reserve(out, text.len + 1 + TAG_BYTES);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const unsigned char *bytes = (const unsigned char *)text.p;
    int len = 0, more = 0, end = 0;
    bool done =
        to != NULL && context != NULL &&
        EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, derived->cek,
                           derived->nonce) == 1 &&
        EVP_EncryptUpdate(context, to, &len, bytes, (int)text.len) == 1 &&
        EVP_EncryptUpdate(context, to + len, &more, &delimiter, 1) == 1 &&
        EVP_EncryptFinal_ex(context, to + len + more, &end) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, to + len + more) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!done)
        return -1;
    out->len += text.len + 1 + TAG_BYTES;
    return 0;
}

int
ece_append_content(struct buf *out, const struct ece_secret *secret, struct slice text)
{
    struct derived derived;
    if (derive(&derived, secret->salt, secret->ikm) != 0)
        return -1;
    append_header(out, secret);
    return append_record(out, &derived, text);
}

int
ece_encrypt(struct buf *out, const struct ece_keys *keys, struct slice text,
            const struct ece_chance *chance, struct error *error)
{
    struct message message;
    unsigned char secret[SECRET_BYTES], ikm[HASH_BYTES];
    if (text.len > ECE_TEXT_MAX)
        return error_set(error, "a text of %zu bytes: at most %d fit", text.len,
                         ECE_TEXT_MAX);
    int result = message_init(&message, keys, chance);
    if (result == 0)
        result = agree(message.own, message.theirs, secret);
    if (result == 0)
        result = derive_ikm(ikm, keys, message.own_public, secret);
    const struct ece_secret of_record = {
        .salt = message.salt,
        .ikm = {(const char *)ikm, HASH_BYTES},
        .key_id = {(const char *)message.own_public, ECE_PUBLIC_BYTES}};
    if (result == 0)
        result = ece_append_content(out, &of_record, text);
    message_fini(&message);
    if (result == 0 && !out->failed)
        return 0;
    return error_set(error, "a message cannot be encrypted: out of memory");
}
