/* filter.h - does this row belong to this reader? Pure: no I/O, no allocation while matching.
 *
 * A row reaches a reader when one of the requested patterns matches its channel, and one
 * pattern of every bound does too (a conjunction, judged on the row's own channel, so that
 * no containment of patterns ever has to be decided), and the row is for everyone or for
 * this user. */
#ifndef ROWCAST_EVENT_FILTER_H
#define ROWCAST_EVENT_FILTER_H

#include <stdint.h>

#include "base/hash.h"
#include "event/row.h"
#include "base/slice.h"

#define FILTER_PATTERN_MAX 256 /* bytes in one pattern */
#define FILTER_PATTERNS_MAX 64 /* patterns in one list */

/* How many patterns of a list may be other than exact, and how many bytes these may have together.
 * A reader's list comes from a stranger; a bound comes from the administrator or the
 * application. */
#define FILTER_ASKED_GLOBS_MAX 16
#define FILTER_ASKED_BYTES_MAX 512
#define FILTER_GRANTED_GLOBS_MAX FILTER_PATTERNS_MAX
#define FILTER_GRANTED_BYTES_MAX 2048

struct globs;

/* A list of channels and GLOB patterns. Zero-initialised it is empty. Owns its items. */
struct patterns {
    char **items; /* NUL-terminated, sorted by strcmp, no two equal */
    size_t count;
    struct globs *globs; /* those that are not exact, by patterns_compile; NULL: none */
};

enum filter_bound { FILTER_BOUND_LOCATION, FILTER_BOUND_TICKET, FILTER_BOUNDS };

struct filter {
    struct patterns requested;             /* empty: all channels that the bounds leave */
    struct patterns bounds[FILTER_BOUNDS]; /* looked at only where bounded[] says so */
    bool bounded[FILTER_BOUNDS];           /* true with an empty list: nothing matches */
    char *user;                            /* NULL: anonymous, gets no private row */
};

/* Exact patterns are compared byte for byte, as SQL's `channel = ?` does, the others as SQLite's
 * GLOB (event/glob.h); the two differ only for text that is not UTF-8. A NULL channel matches no
 * pattern. Every list must have been compiled. It is both of the following. */
bool filter_matches(const struct filter *filter, struct slice channel,
                    struct slice recipient);
bool filter_allows_channel(const struct filter *filter, struct slice channel);
bool filter_allows_recipient(const struct filter *filter, struct slice recipient);

/* True when it has a list with more than exact names: then verdicts on channels are worth
 * remembering. */
bool filter_has_globs(const struct filter *filter);

/* The part of filter_matches that looks at one channel by its name: used to refuse at once an
 * exact channel that lies outside the bounds. */
bool filter_bounds_allow(const struct filter *filter, struct slice channel);

/* The same for one of the bounds. */
bool filter_bound_allows(const struct filter *filter, enum filter_bound bound,
                         struct slice channel);

/* Equal filters let through exactly the same rows: the streams that have them share one
 * audience. Filters of two different users are never equal. */
bool filter_equal(const struct filter *a, const struct filter *b);
uint64_t filter_hash(const struct filter *filter, const struct hash_key *key);

/* True when `requested` is not empty and each of its items is exact. */
bool filter_is_exact(const struct filter *filter);

enum patterns_result {
    PATTERNS_OK,
    PATTERNS_EMPTY,
    PATTERNS_TOO_LONG,
    PATTERNS_TOO_MANY,
    PATTERNS_BAD_BYTE,
    PATTERNS_TOO_MANY_GLOBS, /* of patterns_compile, as the next */
    PATTERNS_TOO_MANY_BYTES,
    PATTERNS_NO_MEMORY
};

/* Adds a copy of the pattern, keeps the list sorted; one that is there already is no error.
 * Refuses an empty pattern, one over FILTER_PATTERN_MAX, one with NUL, CR or LF, and more
 * than FILTER_PATTERNS_MAX of them. */
enum patterns_result patterns_add(struct patterns *patterns, struct slice pattern);

/* Adds a pattern that matches this channel and no other, whatever characters it has. */
enum patterns_result patterns_add_name(struct patterns *patterns, struct slice channel);

/* To be called once, when the list is complete: matching goes by what this makes. Refuses more
 * patterns that are not exact than the FILTER_ASKED_ or FILTER_GRANTED_ numbers above say. */
enum patterns_whose { PATTERNS_ASKED, PATTERNS_GRANTED };
enum patterns_result patterns_compile(struct patterns *patterns, enum patterns_whose whose);

/* What is wrong with the pattern: "is empty", "is longer than 256 bytes", ... */
const char *patterns_strerror(enum patterns_result result);
/* What is wrong with the list that patterns_compile refused: "more than 16 patterns with ...". */
const char *patterns_list_strerror(enum patterns_whose whose, enum patterns_result result);
void patterns_fini(struct patterns *patterns);

/* True when one of them matches the channel, as in filter_matches. The list must have been
 * compiled; of one that was not, only exact names match. */
bool patterns_match(const struct patterns *patterns, struct slice channel);

/* Moves the content of `from` to `to`; `from` is then empty. */
void filter_move(struct filter *to, struct filter *from);
void filter_fini(struct filter *filter);

#endif
