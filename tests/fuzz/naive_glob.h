/* naive_glob.h - GLOB once more, for tests: written from SQLite's documentation and nothing in
 * src/, in another way (the pattern is compiled, the match is a table), so that both are not
 * wrong alike. */
#ifndef ROWCAST_TESTS_NAIVE_GLOB_H
#define ROWCAST_TESTS_NAIVE_GLOB_H

#include <stdbool.h>

#include "event/filter.h"

#define NAIVE_GLOB_MAX 320 /* characters in a pattern or a text */

/* Both must be valid UTF-8 and no longer than NAIVE_GLOB_MAX. */
bool naive_glob(const char *pattern, const char *text);

/* One of the patterns matches. */
bool naive_glob_any(const struct patterns *patterns, const char *text);

#endif
