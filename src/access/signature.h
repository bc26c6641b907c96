/* signature.h - is this text signed with this key? The cryptography of tickets that are verified;
 * OpenSSL does it. */
#ifndef ROWCAST_ACCESS_SIGNATURE_H
#define ROWCAST_ACCESS_SIGNATURE_H

#include "access/keys.h"
#include "base/slice.h"

enum signature_verdict {
    SIGNATURE_GOOD,
    SIGNATURE_WRONG,
    SIGNATURE_NO_MEMORY /* it is not known */
};

/* RFC 7518, sections 3.2 to 3.4: the key decides on the algorithm. `signature` is decoded: 32 bytes
 * of a MAC, an RSA signature, or R and S of 32 bytes each. A MAC is compared in constant time.
 * The key must be one that verifies. Costs microseconds for a secret, some ten for an RSA key,
 * about a hundred for an EC key. */
enum signature_verdict signature_check(const struct ticket_key *key, struct slice text,
                                       struct slice signature);

#endif
