/* nearest.h - which of the known names was probably meant? For errors: "did you mean ...?".
 * Pure. */
#ifndef ROWCAST_BASE_NEAREST_H
#define ROWCAST_BASE_NEAREST_H

#include <stddef.h>

/* The name of the list that is closest to `name`: at most two letters are missing, too many,
 * wrong or (counted as two) swapped, and capitals do not count. NULL when none is so close. */
const char *nearest_find(const char *name, const char *const *list, size_t count);

#endif
