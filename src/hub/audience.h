/* audience.h - streams with an equal filter and format, and the way from a row to them.
 *
 * What an audience gets is packed once for all its streams. A row finds its audiences by exact
 * channel and by recipient, so that five thousand streams with a channel or a user each cost a
 * row no more than one; only audiences with GLOB patterns are tried one by one. */
#ifndef ROWCAST_HUB_AUDIENCE_H
#define ROWCAST_HUB_AUDIENCE_H

#include <stdint.h>

#include "event/filter.h"
#include "event/format.h"
#include "hub/verdict.h"

struct stream;
struct seat;

struct audience {
    struct filter filter;
    enum format format;
    uint64_t hash;
    size_t refs; /* streams, whatever their state */

    struct seat *seats; /* its places in the index; hub/audience.c's */
    size_t seat_count;
    struct verdicts *verdicts; /* NULL until one is worth keeping */

    struct stream **
        live; /* streams whose cursor is at the tail; a stream knows its place: live_index */
    uint32_t live_count, live_cap;

    /* The rows of the present batch for this audience, as indexes into the batch. */
    uint32_t *batch;
    uint32_t batch_count, batch_cap;

    struct audience *next_same_hash;
};

struct audiences; /* all of them, with the index */

/* NULL when out of memory. key: of the index's hash tables. */
struct audiences *audiences_new(const struct hash_key *key);
void audiences_free(struct audiences *audiences);

/* Returns the audience with this filter and format, with one more reference; makes it if there is
 * none. Takes *filter over in any case. NULL when out of memory. */
struct audience *audiences_join(struct audiences *audiences, struct filter *filter,
                                enum format format);

/* Gives one reference back. The last one frees the audience, in time that depends only on the
 * number of its channels. It must not be in `live` any more. */
void audiences_leave(struct audiences *audiences, struct audience *audience);

/* Calls fn for each audience whose filter lets the row through, each once. */
typedef void (*audience_fn)(void *arg, struct audience *audience);
void audiences_match(struct audiences *audiences, const struct row *row, audience_fn fn,
                     void *arg);

/* The same, but only for audiences for which `is_wanted` returns true. It is asked before the
 * filter. */
struct audience_visitor {
    audience_fn fn;
    bool (*is_wanted)(void *arg, const struct audience *audience); /* NULL: all are */
    void *arg;
};
void audiences_match_wanted(struct audiences *audiences, const struct row *row,
                            const struct audience_visitor *visitor);

/* filter_matches for one audience, with the verdicts that are remembered for the row's channel.
 * For callers that read many rows for one audience. */
bool audience_allows(struct audiences *audiences, struct audience *audience,
                     const struct row *row);

/* Calls fn for each audience; fn may not add or remove any. */
void audiences_each(const struct audiences *audiences, audience_fn fn, void *arg);

size_t audiences_count(const struct audiences *audiences);

/* The longest chain in any of the index's hash tables. For tests. */
size_t audiences_longest_chain(const struct audiences *audiences);

#endif
