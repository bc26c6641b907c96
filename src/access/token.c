/* token.c - takes a token apart, strictly.
 *
 * libjwt would do it too, but it takes base64 that no encoder writes and JSON members that are
 * there twice, and it goes by the `alg` that it finds. So the header is read here first, by the
 * letter, and libjwt sees only what has one meaning. */
#include "config.h"

#include "access/token.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

/* --- base64url, RFC 4648 section 5, without padding ---------------------------------------- */

/* 0 to 63, or -1. */
static int
digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* What is left over at the end must be zero: each value has one spelling. out may be NULL. */
static int
decode(struct buf *out, struct slice text)
{
    uint32_t bits = 0;
    int count = 0;
    if (text.len == 0 || text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.p[i]);
        if (digit < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)digit) & 0xfff;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        char byte = (char)(unsigned char)(bits >> count & 0xff);
        if (out != NULL)
            buf_append(out, &byte, 1);
    }
    return (bits & ((1U << count) - 1)) == 0 ? 0 : -1;
}

/* --- parts --------------------------------------------------------------------------------- */

/* NULL with *error. Text that is not UTF-8 is not JSON either. */
static struct json_t *
read_object(struct slice part, const char *name, struct error *error)
{
    struct buf text = {0};
    struct json_t *object = NULL;
    bool good = decode(&text, part) == 0;
    if (good && !text.failed)
        object = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_fini(&text);
    if (object != NULL && json_is_object(object))
        return object;
    error_set(error,
              good ? "its %s is not a JSON object, or has a member twice"
                   : "its %s is not base64url",
              name);
    json_decref(object);
    return NULL;
}

static int
read_header(struct ticket_token *token, struct error *error)
{
    const json_t *alg = json_object_get(token->header, "alg");
    const json_t *kid = json_object_get(token->header, "kid");
    const json_t *typ = json_object_get(token->header, "typ");

    if (!json_is_string(alg))
        return error_set(error, "its header has no alg");
    if (kid != NULL && !json_is_string(kid))
        return error_set(error, "its kid is not a string");
    if (typ != NULL &&
        (!json_is_string(typ) || strcasecmp(json_string_value(typ), "JWT") != 0))
        return error_set(error, "its typ is not JWT");
    /* Extensions that must be understood (RFC 7515 section 4.1.11); we know none. */
    if (json_object_get(token->header, "crit") != NULL)
        return error_set(error, "it has crit, and no extension is known here");
    token->alg = json_string_value(alg);
    token->kid = json_string_value(kid);
    return 0;
}

/* Cuts off what stands before the next dot. */
static int
next_part(struct slice *text, struct slice *part)
{
    const char *dot = text->len == 0 ? NULL : memchr(text->p, '.', text->len);
    if (dot == NULL)
        return -1;
    *part = (struct slice){text->p, (size_t)(dot - text->p)};
    text->p += part->len + 1;
    text->len -= part->len + 1;
    return 0;
}

int
ticket_token_read(struct ticket_token *token, struct slice text, struct error *error)
{
    struct slice header, claims;
    *token = (struct ticket_token){0};
    if (next_part(&text, &header) != 0 || next_part(&text, &claims) != 0 ||
        memchr(text.p, '.', text.len) != NULL)
        return error_set(error, "it has not three parts");
    if (text.len == 0)
        return error_set(error, "it is not signed");
    if (decode(NULL, text) != 0)
        return error_set(error, "its signature is not base64url");
    token->header = read_object(header, "header", error);
    if (token->header == NULL || read_header(token, error) != 0)
        return -1;
    token->claims = read_object(claims, "payload", error);
    return token->claims != NULL ? 0 : -1;
}

void
ticket_token_fini(struct ticket_token *token)
{
    json_decref(token->header);
    json_decref(token->claims);
    *token = (struct ticket_token){0};
}
