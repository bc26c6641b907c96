/* vapid.c - making, reading and using VAPID keys; see push/vapid.h.
 *
 * The token is signed here and not by libjwt: 1.x parses the PEM anew for each token, and takes
 * claims of its own kinds only. A token lasts for hours, so few are made. */
#include "config.h"

#include "push/vapid.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/json.h"

#define PUBLIC_BYTES 65
#define HALF_BYTES 32 /* R and S of an ES256 signature, RFC 7518 section 3.4 */

/* Nobody is here to be asked for a passphrase. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static int
set_public_text(struct vapid_key *key)
{
    unsigned char *point = NULL;
    struct buf text = {0};
    size_t len = EVP_PKEY_get1_encoded_public_key(key->pkey, &point);
    if (len == PUBLIC_BYTES)
        base64url_append(&text, point, len);
    OPENSSL_free(point);
    bool done = text.len == VAPID_PUBLIC_TEXT - 1 && !text.failed;
    if (done) {
        memcpy(key->public_text, text.p, text.len);
        key->public_text[text.len] = '\0';
    }
    buf_fini(&text);
    return done ? 0 : -1;
}

/* --- a new one ---------------------------------------------------------------------- */

/* The file is there with its mode before the key is in it. */
static int
create_file(const char *path, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fchmod(fd, 0600) == 0)
        return fd;
    if (fd < 0 && errno == EEXIST)
        return error_set(
            error,
            "%s: there is a file already, and browsers that subscribed with its "
            "key would be lost: give another path, or remove it",
            path);
    error_set(error, "%s: cannot be made: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int
write_pem(int fd, const struct vapid_key *key)
{
    FILE *file = fdopen(fd, "w");
    if (file == NULL) {
        close(fd);
        return -1;
    }
    int wrote = PEM_write_PKCS8PrivateKey(file, key->pkey, NULL, NULL, 0, NULL, NULL);
    if (fflush(file) != 0 || fsync(fd) != 0)
        wrote = 0;
    if (fclose(file) != 0)
        wrote = 0;
    return wrote == 1 ? 0 : -1;
}

int
vapid_make_file(const char *path, char public_text[VAPID_PUBLIC_TEXT], struct error *error)
{
    struct vapid_key key = {.pkey = EVP_EC_gen("P-256")};
    if (key.pkey == NULL || set_public_text(&key) != 0) {
        EVP_PKEY_free(key.pkey);
        return error_set(error, "cannot make a key: out of memory");
    }
    int fd = create_file(path, error);
    int result = fd < 0 ? -1 : 0;
    if (result == 0 && write_pem(fd, &key) != 0) {
        result = error_set(error, "%s: cannot be written: %s", path, strerror(errno));
        unlink(path); /* half a key is none */
    }
    memcpy(public_text, key.public_text, VAPID_PUBLIC_TEXT);
    EVP_PKEY_free(key.pkey);
    return result;
}

/* --- from a file -------------------------------------------------------------------- */

static bool
is_p256(const EVP_PKEY *key)
{
    char curve[64] = "";
    if (!EVP_PKEY_is_a(key, "EC"))
        return false;
    EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL);
    return strcmp(curve, "prime256v1") == 0;
}

static int
take_key(struct vapid_keys *keys, EVP_PKEY *pkey, const char *path, struct error *error)
{
    if (keys->count == VAPID_KEYS_MAX || !is_p256(pkey)) {
        EVP_PKEY_free(pkey);
        if (keys->count == VAPID_KEYS_MAX)
            return error_set(error, "%s: more than %d keys", path, VAPID_KEYS_MAX);
        return error_set(error,
                         "%s: key %zu is not of P-256: make one with rowcast push "
                         "--new-key FILE",
                         path, keys->count + 1);
    }
    struct vapid_key *key = &keys->items[keys->count++];
    key->pkey = pkey;
    if (set_public_text(key) == 0)
        return 0;
    return error_set(error, "%s: key %zu has no public key", path, keys->count);
}

/* The file's content, which is a secret: it is wiped by the caller. */
static int
read_file(const char *path, const struct log *log, char text[VAPID_FILE_MAX], size_t *len,
          struct error *error)
{
    struct stat status;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(error, "%s: cannot be read: %s", path, strerror(errno));
    if (fstat(fileno(file), &status) == 0 && (status.st_mode & S_IROTH) != 0 && log != NULL)
        log_line(log, LOG_WARN, "%s can be read by everybody: chmod o-r %s", path, path);
    *len = fread(text, 1, VAPID_FILE_MAX, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return error_set(error, "%s: cannot be read: %s", path, strerror(errno));
    if (*len == VAPID_FILE_MAX)
        return error_set(error, "%s: has more than %d bytes", path, VAPID_FILE_MAX);
    text[*len] = '\0';
    return 0;
}

/* Whether another block of PEM begins in what is left to read. */
static bool
has_more(BIO *bio)
{
    static const char begin[] = "-----BEGIN ";
    char *left = NULL;
    long len = BIO_get_mem_data(bio, &left);
    return len > 0 && memmem(left, (size_t)len, begin, sizeof begin - 1) != NULL;
}

static int
read_keys(struct vapid_keys *keys, BIO *bio, const char *path, struct error *error)
{
    bool is_good = true;
    while (is_good && has_more(bio)) {
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        ERR_clear_error();
        is_good = pkey != NULL;
        if (is_good && take_key(keys, pkey, path, error) != 0)
            return -1;
    }
    if (keys->count > 0 && is_good)
        return 0;
    return error_set(
        error,
        "%s: key %zu cannot be read: it is no private key in PEM, damaged, or has "
        "a passphrase (rowcast push --new-key FILE makes one)",
        path, keys->count + 1);
}

struct vapid_keys *
vapid_keys_load(const char *path, const struct log *log, struct error *error)
{
    char text[VAPID_FILE_MAX];
    size_t len = 0;
    struct vapid_keys *keys = NULL;
    BIO *bio = NULL;
    int result = read_file(path, log, text, &len, error);
    if (result == 0) {
        keys = calloc(1, sizeof *keys);
        bio = BIO_new_mem_buf(text, (int)len);
        if (keys == NULL || bio == NULL)
            result = error_set(error, "out of memory");
    }
    if (result == 0)
        result = read_keys(keys, bio, path, error);
    BIO_free(bio);
    explicit_bzero(text, sizeof text);
    if (result == 0)
        return keys;
    vapid_keys_free(keys);
    return NULL;
}

void
vapid_keys_free(struct vapid_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->items[i].pkey);
    free(keys);
}

const struct vapid_key *
vapid_keys_find(const struct vapid_keys *keys, const char *public_text)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i].public_text, public_text) == 0)
            return &keys->items[i];
    return NULL;
}

/* --- tokens ------------------------------------------------------------------------- */

/* OpenSSL gives ASN.1; a token has R and S, of 32 bytes each. */
static int
append_halves(struct buf *buf, const unsigned char *der, size_t len)
{
    unsigned char halves[2 * HALF_BYTES];
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool done =
        pair != NULL &&
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), halves, HALF_BYTES) == HALF_BYTES &&
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), halves + HALF_BYTES, HALF_BYTES) == HALF_BYTES;
    ECDSA_SIG_free(pair);
    if (done)
        base64url_append(buf, halves, sizeof halves);
    return done ? 0 : -1;
}

static int
append_signature(struct buf *buf, const struct vapid_key *key, struct slice text)
{
    unsigned char der[128];
    size_t len = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done =
        context != NULL &&
        EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
        EVP_DigestSign(context, der, &len, (const unsigned char *)text.p, text.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return done ? append_halves(buf, der, len) : -1;
}

static void
append_claims(struct buf *buf, const struct vapid_claims *claims)
{
    buf_append_text(buf, "{\"aud\":");
    json_append_string(buf, slice_of(claims->audience));
    buf_append_text(buf, ",\"exp\":");
    buf_append_int(buf, (claims->now_ms + VAPID_LIFE_MS) / 1000);
    buf_append_text(buf, ",\"sub\":");
    json_append_string(buf, slice_of(claims->subject));
    buf_append_text(buf, "}");
}

int
vapid_append_authorization(struct buf *buf, const struct vapid_key *key,
                           const struct vapid_claims *claims)
{
    static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"ES256\"}";
    struct buf token = {0}, object = {0};
    append_claims(&object, claims);
    base64url_append(&token, header, sizeof header - 1);
    buf_append_text(&token, ".");
    base64url_append(&token, object.p, object.len);
    struct buf signature = {0};
    int result = append_signature(&signature, key, buf_slice(&token));
    if (result == 0 && !object.failed && !token.failed && !signature.failed)
        buf_printf(buf, "vapid t=%.*s.%.*s, k=%s", (int)token.len, token.p,
                   (int)signature.len, signature.p, key->public_text);
    else
        result = -1;
    buf_fini(&object);
    buf_fini(&token);
    buf_fini(&signature);
    return result == 0 && !buf->failed ? 0 : -1;
}
