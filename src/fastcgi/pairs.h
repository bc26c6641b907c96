/* pairs.h - name-value pairs, in which FastCGI has its variables (specification section 3.4).
 *
 * For fastcgi/parser.c, whose input comes from a web server: no length is trusted. Pure, no I/O. */
#ifndef ROWCAST_FASTCGI_PAIRS_H
#define ROWCAST_FASTCGI_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Splits the first pair off `pairs`; name and value point into it. False when the lengths do not
 * fit. */
bool pairs_next(struct slice *pairs, struct slice *name, struct slice *value);

/* Whether all lengths fit, every variable has a name, and no name or value has a NUL (nor a name a
 * `=`): libfcgi turns each pair into a C string. */
bool pairs_are_sound(struct slice pairs);

/* Writes the value of the variable `wanted` to `value`, which has `size` bytes, as a C string.
 * False when there is no such variable, or its value is too long. */
bool pairs_find(struct slice pairs, const char *wanted, char *value, size_t size);

#endif
