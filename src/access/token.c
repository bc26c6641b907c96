/* token.c - takes a token apart, strictly.
 *
 * ticket.c calls it. Libraries take base64 that no encoder writes and JSON members that are there
 * twice, and go by the `alg` that they find. Here the header is read by the letter, so that what is
 * judged has one meaning. */
#include "config.h"

#include "access/token.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/base64url.h"
#include "base/buf.h"

/* --- parts --------------------------------------------------------------------------- */

static int
refuse(struct error *error, const char *problem)
{
    error_set(error, "%s", problem);
    return 401;
}

static int
out_of_memory(struct error *error)
{
    error_set(error, "out of memory");
    return 503;
}

/* Text that is not UTF-8 is not JSON either. */
static int
parse_object(struct json_t **object, const struct buf *text, const char *name,
             struct error *error)
{
    errno = 0; /* malloc(3) sets it; jansson calls it bad syntax when memory runs out */
    *object = json_loadb(text->p, text->len, JSON_REJECT_DUPLICATES, NULL);
    if (*object != NULL && json_is_object(*object))
        return 0;
    if (*object == NULL && errno == ENOMEM)
        return out_of_memory(error);
    error_set(error, "its %s is not a JSON object, or has a member twice", name);
    return 401;
}

static int
read_object(struct json_t **object, struct slice part, const char *name,
            struct error *error)
{
    struct buf text = {0};
    int status = 401;
    if (base64url_decode(&text, part) != 0)
        error_set(error, "its %s is not base64url", name);
    else if (text.failed)
        status = out_of_memory(error);
    else
        status = parse_object(object, &text, name, error);
    buf_fini(&text);
    return status;
}

static int
read_header(struct ticket_token *token, struct error *error)
{
    const json_t *alg = json_object_get(token->header, "alg");
    const json_t *kid = json_object_get(token->header, "kid");
    const json_t *typ = json_object_get(token->header, "typ");

    if (!json_is_string(alg))
        return refuse(error, "its header has no alg");
    if (kid != NULL && !json_is_string(kid))
        return refuse(error, "its kid is not a string");
    if (typ != NULL &&
        (!json_is_string(typ) || strcasecmp(json_string_value(typ), "JWT") != 0))
        return refuse(error, "its typ is not JWT");
    /* Extensions that must be understood (RFC 7515 section 4.1.11); we know none. */
    if (json_object_get(token->header, "crit") != NULL)
        return refuse(error, "it has crit, and no extension is known here");
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

static int
read_signature(struct ticket_token *token, struct slice part, struct error *error)
{
    if (part.len == 0)
        return refuse(error, "it is not signed");
    if (base64url_decode(&token->signature, part) != 0)
        return refuse(error, "its signature is not base64url");
    return token->signature.failed ? out_of_memory(error) : 0;
}

int
ticket_token_read(struct ticket_token *token, struct slice text, struct error *error)
{
    struct slice header, claims;
    struct slice rest = text;
    *token = (struct ticket_token){0};
    if (next_part(&rest, &header) != 0 || next_part(&rest, &claims) != 0 ||
        memchr(rest.p, '.', rest.len) != NULL)
        return refuse(error, "it has not three parts");
    token->signed_text = (struct slice){text.p, header.len + 1 + claims.len};
    int status = read_signature(token, rest, error);
    if (status == 0)
        status = read_object(&token->header, header, "header", error);
    if (status == 0)
        status = read_header(token, error);
    if (status == 0)
        status = read_object(&token->claims, claims, "payload", error);
    return status;
}

void
ticket_token_fini(struct ticket_token *token)
{
    json_decref(token->header);
    json_decref(token->claims);
    buf_fini(&token->signature);
    *token = (struct ticket_token){0};
}
