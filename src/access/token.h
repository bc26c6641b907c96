/* token.h - the form of a token: three parts in base64url, two of them JSON objects.
 *
 * RFC 7515 section 7.1 and RFC 7519 section 7.2, read strictly. Nothing here judges what the
 * token says; until its signature is verified that is a stranger's word. */
#ifndef ROWCAST_ACCESS_TOKEN_H
#define ROWCAST_ACCESS_TOKEN_H

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

struct json_t; /* jansson's */

struct ticket_token {
    struct json_t *header; /* objects; owned */
    struct json_t *claims;
    const char *alg; /* in the header */
    const char *kid; /* in the header, or NULL */
    struct slice
        signed_text;      /* the two parts that are signed, as they stand in the token */
    struct buf signature; /* decoded */
};

/* Takes the token apart; `text` must stay as long as *token. Returns 0, 401 with *error, a reason
 * that fits behind "the ticket is malformed: ", or 503: out of memory. *token is set up in any case
 * and must be given to ticket_token_fini. */
int ticket_token_read(struct ticket_token *token, struct slice text, struct error *error);
void ticket_token_fini(struct ticket_token *token);

#endif
