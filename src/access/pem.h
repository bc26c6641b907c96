/* pem.h - is this PEM block a key that tickets can be signed or verified with? */
#ifndef ROWCAST_ACCESS_PEM_H
#define ROWCAST_ACCESS_PEM_H

#include "access/keys.h"

/* Judges a block, from its BEGIN line on: a public key (SubjectPublicKeyInfo, RFC 5280) where it
 * verifies, a private one where it signs. Returns 0 and sets key->alg, which the key's type fixes,
 * and key->pkey, for ticket_pem_free; or -1 with *error: what is wrong and what to give instead. */
int ticket_pem_parse(struct slice pem, enum ticket_use use, struct ticket_key *key,
                     struct error *error);
void ticket_pem_free(struct ticket_key *key); /* key->pkey; NULL is fine */

#endif
