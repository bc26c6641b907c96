/* signature.c - HS256, RS256 and ES256 with OpenSSL, on keys that keys.c has read and pem.c parsed.
 *
 * ticket.c calls it for each key that a token may be signed with. libjwt 1.x could do it, too,
 * but it parses the PEM again for each token (half a millisecond), takes the algorithm from the
 * token, and compared MACs with strcmp before Debian's 1.10.2-1+deb12u1. */
#include "config.h"

#include "access/signature.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAC_BYTES 32  /* of SHA-256 */
#define HALF_BYTES 32 /* R and S of an ES256 signature, RFC 7518 section 3.4 */

static enum signature_verdict
check_mac(const struct ticket_key *key, struct slice text, struct slice mac)
{
    unsigned char ours[EVP_MAX_MD_SIZE];
    unsigned int len = sizeof ours;
    if (mac.len != MAC_BYTES)
        return SIGNATURE_WRONG;
    if (HMAC(EVP_sha256(), key->bytes, (int)key->len, (const unsigned char *)text.p,
             text.len, ours, &len) == NULL)
        return SIGNATURE_NO_MEMORY;
    return CRYPTO_memcmp(ours, mac.p, MAC_BYTES) == 0 ? SIGNATURE_GOOD : SIGNATURE_WRONG;
}

/* der: the signature as OpenSSL takes it. The key is a good one of its type (pem.c). */
static enum signature_verdict
check_public(const struct ticket_key *key, struct slice text, struct slice der)
{
    int result = -1;
    errno =
        0; /* malloc(3) sets it; OpenSSL's own reasons often do not say that memory ran out */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL &&
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1)
        result = EVP_DigestVerify(context, (const unsigned char *)der.p, der.len,
                                  (const unsigned char *)text.p, text.len);
    bool memory_ran_out = errno == ENOMEM;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    if (result == 1)
        return SIGNATURE_GOOD;
    return memory_ran_out ? SIGNATURE_NO_MEMORY : SIGNATURE_WRONG;
}

/* R and S as the ASN.1 that OpenSSL wants. Returns its length, or -1 when out of memory. The caller
 * frees *der. */
static int
make_der(struct slice halves, unsigned char **der)
{
    const unsigned char *p = (const unsigned char *)halves.p;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, HALF_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(p + HALF_BYTES, HALF_BYTES, NULL);
    int len = -1;
    *der = NULL;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* they are the pair's */
        len = i2d_ECDSA_SIG(pair, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return len;
}

static enum signature_verdict
check_ec(const struct ticket_key *key, struct slice text, struct slice halves)
{
    unsigned char *der;
    if (halves.len != 2 * (size_t)HALF_BYTES)
        return SIGNATURE_WRONG;
    int len = make_der(halves, &der);
    if (len < 0)
        return SIGNATURE_NO_MEMORY;
    enum signature_verdict verdict =
        check_public(key, text, (struct slice){(const char *)der, (size_t)len});
    OPENSSL_free(der);
    return verdict;
}

enum signature_verdict
signature_check(const struct ticket_key *key, struct slice text, struct slice signature)
{
    switch (key->alg) {
    case TICKET_HS256:
        return check_mac(key, text, signature);
    case TICKET_RS256:
        return check_public(key, text, signature);
    case TICKET_ES256:
        return check_ec(key, text, signature);
    }
    return SIGNATURE_WRONG;
}
