/* secret.h - memory for keys, which is not in a core dump and is wiped when it is freed. */
#ifndef ROWCAST_BASE_SECRET_H
#define ROWCAST_BASE_SECRET_H

#include <stddef.h>

#include "base/slice.h"

/* A copy with a NUL behind it, in its own pages. NULL when out of memory. The caller frees it with
 * secret_free and the slice's length; NULL is fine. */
char *secret_copy(struct slice text);
void secret_free(char *secret, size_t len);

#endif
