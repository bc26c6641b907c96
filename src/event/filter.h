/* filter.h - does this row belong to this reader? Pure: no I/O, no allocation while matching.
 *
 * A row reaches a reader when one of the requested patterns matches its channel, and one
 * pattern of every bound does too (a conjunction, judged on the row's own channel, so that
 * no containment of patterns ever has to be decided), and the row is for everyone or for
 * this user. */
#ifndef ROWCAST_EVENT_FILTER_H
#define ROWCAST_EVENT_FILTER_H

#include <stdint.h>

#include "event/row.h"
#include "base/slice.h"

#define FILTER_PATTERN_MAX 256 /* bytes in one pattern */
#define FILTER_PATTERNS_MAX 64 /* patterns in one list */

/* A list of GLOB patterns. Zero-initialised it is empty. Owns its items. */
struct patterns {
    char **items; /* NUL-terminated, sorted by strcmp, no two equal */
    size_t count;
};

enum filter_bound { FILTER_BOUND_LOCATION, FILTER_BOUND_TICKET, FILTER_BOUNDS };

struct filter {
    struct patterns requested;             /* empty: all channels that the bounds leave */
    struct patterns bounds[FILTER_BOUNDS]; /* looked at only where bounded[] says so */
    bool bounded[FILTER_BOUNDS];           /* true with an empty list: nothing matches */
    char *user;                            /* NULL: anonymous, gets no private row */
};

/* SQLite's GLOB (sqlite.org/lang_expr.html#glob): `*`, `?` (one UTF-8 character), `[a-z]`,
 * `[^a-z]`; case-sensitive. At most O(pattern * text) steps, whatever the pattern. A NUL in
 * the text, where SQLite would stop, is a character like others. */
bool glob_matches(const char *pattern, struct slice text);

/* True when the pattern has no `*`, `?` or `[`: it then names one channel. */
bool glob_is_exact(const char *pattern);

/* Exact patterns are compared byte for byte, as SQL's `channel = ?` does, the others by
 * glob_matches; the two differ only for text that is not UTF-8. A NULL channel matches no
 * pattern. */
bool filter_matches(const struct filter *filter, struct slice channel,
                    struct slice recipient);

/* The part of filter_matches that looks at one channel by its name: used to refuse at once an
 * exact channel that lies outside the bounds. */
bool filter_bounds_allow(const struct filter *filter, struct slice channel);

/* The same for one of the bounds. */
bool filter_bound_allows(const struct filter *filter, enum filter_bound bound,
                         struct slice channel);

/* Equal filters let through exactly the same rows: the streams that have them share one
 * audience. Filters of two different users are never equal. */
bool filter_equal(const struct filter *a, const struct filter *b);
uint64_t filter_hash(const struct filter *filter);

/* True when `requested` is not empty and each of its items is exact. */
bool filter_is_exact(const struct filter *filter);

enum patterns_result {
    PATTERNS_OK,
    PATTERNS_EMPTY,
    PATTERNS_TOO_LONG,
    PATTERNS_TOO_MANY,
    PATTERNS_BAD_BYTE,
    PATTERNS_NO_MEMORY
};

/* Adds a copy of the pattern, keeps the list sorted; one that is there already is no error.
 * Refuses an empty pattern, one over FILTER_PATTERN_MAX, one with NUL, CR or LF, and more
 * than FILTER_PATTERNS_MAX of them. */
enum patterns_result patterns_add(struct patterns *patterns, struct slice pattern);
const char *patterns_strerror(enum patterns_result result); /* "is empty", ... */
void patterns_fini(struct patterns *patterns);

/* True when one of them matches the channel, as in filter_matches. */
bool patterns_match(const struct patterns *patterns, struct slice channel);

/* Moves the content of `from` to `to`; `from` is then empty. */
void filter_move(struct filter *to, struct filter *from);
void filter_fini(struct filter *filter);

#endif
