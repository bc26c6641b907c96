/* secret.h - memory for keys: not in a core dump, wiped when it is given back. */
#ifndef ROWCAST_BASE_SECRET_H
#define ROWCAST_BASE_SECRET_H

#include <stddef.h>

#include "base/slice.h"

/* A copy with a NUL behind it, in pages of its own. NULL when out of memory. secret_free with the
 * slice's length; NULL is fine. */
char *secret_copy(struct slice text);
void secret_free(char *secret, size_t len);

#endif
