/* glob.h - SQLite's GLOB patterns, compiled: a list of them is matched in one pass over the text.
 *
 * Patterns come from strangers and are tried on every row, so a match may not cost more for a
 * nasty pattern than for a plain one: each character of the text costs one step for every 64
 * characters of all patterns together, whatever stands in them. Pure. */
#ifndef ROWCAST_EVENT_GLOB_H
#define ROWCAST_EVENT_GLOB_H

#include "base/slice.h"

#define GLOBS_BYTES_MAX 16384 /* of all patterns of one list together */

struct globs; /* a compiled list */

/* SQLite's GLOB (sqlite.org/lang_expr.html#glob): `*`, `?` (one UTF-8 character), `[a-z]`,
 * `[^a-z]`; case-sensitive. Takes `count` NUL-terminated patterns, at least one, of together at
 * most GLOBS_BYTES_MAX bytes, and keeps none of them. NULL when out of memory. A typical pattern
 * takes half a kilobyte, the worst ones of 512 bytes 80 KiB. */
struct globs *globs_compile(const char *const *patterns, size_t count);
void globs_free(struct globs *globs); /* NULL is fine */

/* True when one of the patterns matches the whole text. A NUL in it, where SQLite would stop, is a
 * character like others. A NULL text matches nothing. */
bool globs_match(const struct globs *globs, struct slice text);

/* True when the pattern has no `*`, `?` or `[`: it then names one channel. */
bool glob_is_exact(const char *pattern);

/* True when a pattern that is the name itself means this channel alone, also in a list whose
 * items are separated by blanks (ROWCAST_CHANNELS): no `*`, `?`, `[`, blank or tab. */
bool glob_can_name(struct slice channel);

#endif
