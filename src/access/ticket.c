/* ticket.c - judges and signs tickets; libjwt does the cryptography.
 *
 * access/access.c calls ticket_verify for each request that brings a ticket, `rowcast ticket`
 * signs. libjwt 1.x takes the algorithm from the token's own header; with a public key at hand
 * a forger then signs with HS256 and that key as the secret. So the header is read first
 * (access/token.c), the key chosen by its kid, and libjwt called only when the header names the
 * very algorithm that the key is for. */
#include "config.h"

#include "access/ticket.h"

#include <jwt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access/claims.h"
#include "access/signature.h"
#include "access/token.h"

struct judge {
    const struct ticket_rules *rules;
    struct ticket_token token;
    struct error *error;
};

static const jwt_alg_t jwt_algs[] = {[TICKET_HS256] = JWT_ALG_HS256,
                                     [TICKET_RS256] = JWT_ALG_RS256,
                                     [TICKET_ES256] = JWT_ALG_ES256};

/* --- signature ----------------------------------------------------------------------- */

static bool
is_for_alg(const struct judge *judge, const struct ticket_key *key)
{
    return strcmp(judge->token.alg, ticket_alg_name(key->alg)) == 0;
}

static enum signature_verdict
try_key(const struct judge *judge, const struct ticket_key *key)
{
    return signature_check(key, judge->token.signed_text,
                           buf_slice(&judge->token.signature));
}

static int
out_of_memory(const struct judge *judge)
{
    error_set(judge->error, "out of memory");
    return 503;
}

/* 0, or the status of the refusal. */
static int
conclude(const struct judge *judge, enum signature_verdict verdict)
{
    if (verdict == SIGNATURE_GOOD)
        return 0;
    if (verdict == SIGNATURE_NO_MEMORY)
        return out_of_memory(judge);
    error_set(judge->error, "the ticket's signature is wrong");
    return 401;
}

static int
refuse_alg(const struct judge *judge)
{
    const struct ticket_keys *keys = judge->rules->keys;
    error_set(judge->error, "the ticket's alg is not that of %s: it cannot be trusted",
              keys->count == 1           ? "the server's key"
              : judge->token.kid != NULL ? "the server's key of that kid"
                                         : "any of the server's keys");
    return 401;
}

static int
check_with_kid(const struct judge *judge)
{
    const struct ticket_keys *keys = judge->rules->keys;
    for (size_t i = 0; i < keys->count; i++) {
        const struct ticket_key *key = &keys->items[i];
        if (key->kid == NULL || strcmp(key->kid, judge->token.kid) != 0)
            continue;
        return is_for_alg(judge, key) ? conclude(judge, try_key(judge, key))
                                      : refuse_alg(judge);
    }
    error_set(judge->error, "the ticket's kid names none of the server's keys");
    return 401;
}

/* Without a kid each try costs the server time, and any client may cause it: they are few. */
static int
check_signature(const struct judge *judge)
{
    const struct ticket_keys *keys = judge->rules->keys;
    enum signature_verdict verdict = SIGNATURE_WRONG;
    size_t tries = 0;
    if (judge->token.kid != NULL)
        return check_with_kid(judge);
    for (size_t i = 0; i < keys->count && tries < TICKET_TRIES_MAX; i++) {
        if (!is_for_alg(judge, &keys->items[i]))
            continue;
        tries++;
        verdict = try_key(judge, &keys->items[i]);
        if (verdict != SIGNATURE_WRONG)
            break;
    }
    return tries == 0 ? refuse_alg(judge) : conclude(judge, verdict);
}

/* --- times --------------------------------------------------------------------------- */

static int
refuse_time(const struct judge *judge, const char *what, int64_t ms)
{
    char text[64] = "";
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return error_set(judge->error, "the ticket %s %s; get a new one", what, text);
}

static int
check_times(const struct judge *judge, const struct ticket *ticket)
{
    int64_t now_ms = judge->rules->now_ms;
    if (ticket->expires_at_ms != 0 && now_ms >= ticket->expires_at_ms)
        return refuse_time(judge, "expired at", ticket->expires_at_ms);
    if (ticket->not_before_ms > now_ms + TICKET_NBF_GRACE_MS)
        return refuse_time(judge, "is not valid before", ticket->not_before_ms);
    return 0;
}

/* --- all of it ----------------------------------------------------------------------- */

/* A part could not be read: why says what is wrong with it, or that memory ran out. */
static int
refuse_form(const struct judge *judge, int status, const struct error *why)
{
    if (status == 503)
        return out_of_memory(judge);
    error_set(judge->error, "the ticket is malformed: %s", why->text);
    return status;
}

static int
judge_text(struct judge *judge, struct slice text, struct ticket *ticket)
{
    struct error why = {""};
    int status = ticket_token_read(&judge->token, text, &why);
    if (status != 0)
        return refuse_form(judge, status, &why);
    status = check_signature(judge);
    if (status != 0)
        return status;
    status = ticket_claims_read(ticket, judge->token.claims, &why);
    if (status != 0)
        return refuse_form(judge, status, &why);
    if (check_times(judge, ticket) != 0 ||
        ticket_claims_check_audience(judge->token.claims, judge->rules->audience,
                                     judge->error) != 0)
        return 401;
    return 0;
}

int
ticket_verify(const struct ticket_rules *rules, struct slice text, struct ticket *ticket,
              struct error *error)
{
    struct judge judge = {.rules = rules, .error = error};
    *ticket = (struct ticket){0};
    if (text.len > TICKET_MAX) {
        error_set(error, "the ticket is malformed: it is longer than %d bytes", TICKET_MAX);
        return 401;
    }
    if (text.p == NULL)
        text = slice_of("");
    int status = judge_text(&judge, text, ticket);
    ticket_token_fini(&judge.token);
    return status;
}

void
ticket_fini(struct ticket *ticket)
{
    free(ticket->sub);
    patterns_fini(&ticket->channels);
    patterns_fini(&ticket->publish);
    *ticket = (struct ticket){0};
}

/* --- signing ------------------------------------------------------------------------- */

static char *
sign_claims(const struct ticket_key *key, const char *claims)
{
    char *text = NULL;
    jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0)
        return NULL;
    /* libjwt copies the key, and wipes its copy. */
    if (jwt_add_grants_json(jwt, claims) == 0 &&
        (key->kid == NULL || jwt_add_header(jwt, "kid", key->kid) == 0) &&
        jwt_set_alg(jwt, jwt_algs[key->alg], (const unsigned char *)key->bytes,
                    (int)key->len) == 0)
        text = jwt_encode_str(jwt);
    jwt_free(jwt);
    return text;
}

char *
ticket_sign(const struct ticket_key *key, const struct ticket *ticket, const char *audience,
            struct error *error)
{
    char *claims = ticket_claims_write(ticket, audience);
    if (claims == NULL) {
        error_set(error, "cannot write the claims: is every text UTF-8?");
        return NULL;
    }
    char *text = sign_claims(key, claims);
    free(claims);
    if (text == NULL) {
        error_set(error, "cannot sign: libjwt does not take the key");
    } else if (strlen(text) > TICKET_MAX) {
        error_set(error,
                  "the ticket would be longer than %d bytes: name fewer channels, or "
                  "patterns",
                  TICKET_MAX);
        free(text);
        text = NULL;
    }
    return text;
}

const char *
ticket_openssl_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
