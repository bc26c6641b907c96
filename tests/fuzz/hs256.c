/* hs256.c - see hs256.h; RFC 7515 section 5.1 and appendix A.1, step by step. */
#include "config.h"

#include "hs256.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "fuzz.h"

#define HASH_BYTES 32

/* Base64 as OpenSSL writes it, without its padding and with the two other characters. */
static void
append_base64url(struct buf *out, struct slice bytes)
{
    unsigned char *text = malloc(bytes.len / 3 * 4 + 5);
    MUST(text != NULL);
    int len = EVP_EncodeBlock(text, (const unsigned char *)bytes.p, (int)bytes.len);
    for (int i = 0; i < len && text[i] != '='; i++) {
        char c = text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i];
        buf_append(out, &c, 1);
    }
    free(text);
}

static void
append_signature(struct buf *out, struct slice signed_text, const char *secret)
{
    unsigned char hash[HASH_BYTES];
    unsigned len = 0;
    MUST(HMAC(EVP_sha256(), secret, (int)strlen(secret),
              (const unsigned char *)signed_text.p, signed_text.len, hash, &len) != NULL);
    append_base64url(out, (struct slice){(const char *)hash, len});
}

char *
hs256_token(struct slice header, struct slice claims, const char *secret)
{
    struct buf token = {0};
    struct buf signature = {0};
    append_base64url(&token, header);
    buf_append_text(&token, ".");
    append_base64url(&token, claims);
    append_signature(&signature, buf_slice(&token), secret);
    buf_append_text(&token, ".");
    buf_append(&token, signature.p, signature.len);
    buf_append(&token, "", 1);
    MUST(!token.failed && !signature.failed);
    buf_fini(&signature);
    return token.p;
}

bool
hs256_is_signed(struct slice token, const char *secret)
{
    struct buf signature = {0};
    size_t dot = token.len;
    while (dot > 0 && token.p[dot - 1] != '.')
        dot--;
    if (dot == 0)
        return false;
    append_signature(&signature, (struct slice){token.p, dot - 1}, secret);
    MUST(!signature.failed);
    bool same =
        slice_equal(buf_slice(&signature), (struct slice){token.p + dot, token.len - dot});
    buf_fini(&signature);
    return same;
}
