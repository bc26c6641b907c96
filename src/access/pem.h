/* pem.h - is this PEM block a key that tickets can be signed or verified with? */
#ifndef ROWCAST_ACCESS_PEM_H
#define ROWCAST_ACCESS_PEM_H

#include "access/keys.h"

/* Judges a block, from its BEGIN line on: a public key (SubjectPublicKeyInfo, RFC 5280) where it
 * verifies, a private one where it signs. Returns 0 and the algorithm that the key's type fixes,
 * or -1 with *error: what is wrong and what to give instead. */
int ticket_pem_judge(struct slice pem, enum ticket_use use, enum ticket_alg *alg,
                     struct error *error);

#endif
