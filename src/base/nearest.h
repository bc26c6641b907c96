/* nearest.h - the known name that the user probably meant. For errors: "did you mean ...?".
 * Pure. */
#ifndef ROWCAST_BASE_NEAREST_H
#define ROWCAST_BASE_NEAREST_H

#include <stddef.h>

/* The name of the list that is closest to `name`: at most two letters are missing, too many or
 * wrong (two swapped letters are two wrong ones). Upper and lower case are equal. NULL when no
 * name is so close. */
const char *nearest_find(const char *name, const char *const *list, size_t count);

#endif
