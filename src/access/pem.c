/* pem.c - OpenSSL's opinion of a key: its type, its size, its curve.
 *
 * keys.c calls it once for each block. signature.c verifies with the key that was parsed here;
 * libjwt, which signs, parses the text again and would take any size and ask the terminal for a
 * passphrase, so what it gets has been through here. */
#include "config.h"

#include "access/pem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

#define BEGIN "-----BEGIN "

static bool
has_label(struct slice pem, const char *label)
{
    size_t len = strlen(label);
    const char *at = pem.p + strlen(BEGIN);
    return pem.len > strlen(BEGIN) + len + 5 && memcmp(at, label, len) == 0 &&
           memcmp(at + len, "-----", 5) == 0;
}

static bool
is_private(struct slice pem)
{
    return has_label(pem, "PRIVATE KEY") || has_label(pem, "RSA PRIVATE KEY") ||
           has_label(pem, "EC PRIVATE KEY") || has_label(pem, "ENCRYPTED PRIVATE KEY");
}

static int
check_label(struct slice pem, enum ticket_use use, struct error *error)
{
    if (use == TICKET_VERIFIES && is_private(pem))
        return error_set(error, "a private key; give the public key (openssl pkey -in KEY "
                                "-pubout), a server that only verifies needs no more");
    if (use == TICKET_VERIFIES && !has_label(pem, "PUBLIC KEY"))
        return error_set(error, "not a public key; it should begin with -----BEGIN PUBLIC "
                                "KEY----- (openssl pkey -pubout, or for a certificate "
                                "openssl x509 -pubkey -noout)");
    if (use == TICKET_SIGNS && has_label(pem, "PUBLIC KEY"))
        return error_set(error, "a public key; signing needs the private key");
    if (use == TICKET_SIGNS && !is_private(pem))
        return error_set(error, "not a private key (-----BEGIN PRIVATE KEY-----)");
    return 0;
}

/* For a key that is encrypted: there is no person to ask. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static EVP_PKEY *
read_key(struct slice pem, enum ticket_use use)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = use == TICKET_VERIFIES
                        ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL)
                        : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static int
judge_key(const EVP_PKEY *key, enum ticket_alg *alg, struct error *error)
{
    char curve[64] = "";
    int bits = EVP_PKEY_get_bits(key);

    if (EVP_PKEY_is_a(key, "RSA")) {
        if (bits < TICKET_RSA_BITS_MIN)
            return error_set(error,
                             "an RSA key of %d bits; RS256 needs at least %d "
                             "(RFC 7518 section 3.3)",
                             bits, TICKET_RSA_BITS_MIN);
        *alg = TICKET_RS256;
        return 0;
    }
    if (EVP_PKEY_is_a(key, "EC")) {
        EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL);
        if (strcmp(curve, "prime256v1") != 0)
            return error_set(error,
                             "an EC key on the curve %s; ES256 needs P-256 "
                             "(openssl ecparam -name prime256v1)",
                             curve);
        *alg = TICKET_ES256;
        return 0;
    }
    return error_set(error, "neither an RSA nor an EC key; there are RS256 and ES256");
}

int
ticket_pem_parse(struct slice pem, enum ticket_use use, struct ticket_key *key,
                 struct error *error)
{
    if (check_label(pem, use, error) != 0)
        return -1;
    key->pkey = read_key(pem, use);
    if (key->pkey == NULL && use == TICKET_SIGNS)
        return error_set(error,
                         "a private key that cannot be read: it is damaged, or has a "
                         "passphrase (openssl pkey -in KEY takes it off)");
    if (key->pkey == NULL)
        return error_set(error, "a public key that cannot be read: it is damaged");
    if (judge_key(key->pkey, &key->alg, error) == 0)
        return 0;
    ticket_pem_free(key);
    return -1;
}

void
ticket_pem_free(struct ticket_key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}
