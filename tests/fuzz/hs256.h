/* hs256.h - HS256 tokens made and checked with OpenSSL alone: not the code under test. */
#ifndef ROWCAST_TESTS_HS256_H
#define ROWCAST_TESTS_HS256_H

#include <stdbool.h>

#include "base/slice.h"

/* A token of these two parts, as they are, signed with the secret. To be freed. */
char *hs256_token(struct slice header, struct slice claims, const char *secret);

/* Is what stands before the last dot signed with the secret, by what stands behind it? */
bool hs256_is_signed(struct slice token, const char *secret);

#endif
