/* window.h - the newest rows in memory, bounded in bytes, each encoded once for each format.
 *
 * Live fan-out takes its bytes from here, and so does every stream that is not further behind
 * than the window reaches; others read the table. It never stands between a row and its
 * reader: a row too big for it is in it until the next one comes. */
#ifndef ROWCAST_HUB_WINDOW_H
#define ROWCAST_HUB_WINDOW_H

#include <stdint.h>

#include "base/hash.h"
#include "event/format.h"
#include "event/row.h"

struct window;

/* A row kept. row's slices point into the entry's own memory. */
struct entry {
    struct row row;
    bool superseded; /* a newer row in the window has the same channel, recipient, key */
    struct entry *next_newest; /* the chain of its bucket, see hub/window.c */
    char *encoded[FORMATS];
    size_t encoded_len[FORMATS];
    size_t bytes; /* all memory that it holds */
};

/* max_bytes: 0 keeps only the latest batch. max_event_bytes is what a too-large row quotes. key: of
 * the table of collapse keys, which come from publishers. */
struct window *window_new(size_t max_bytes, size_t max_event_bytes,
                          const struct hash_key *key);
void window_free(struct window *window);

/* Adds a copy of a row, whose id is above all in the window. Returns 0, or -1 when out of memory:
 * the window then begins again after that row, so that it never lacks a row in its middle. */
int window_add(struct window *window, const struct row *row);

/* Evicts the oldest rows until the bytes are within bounds, but none with an id above
 * keep_after. Only here (and in reset, drop and sweep) do entries go away. */
void window_trim(struct window *window, int64_t keep_after);

/* Forgets rows up to the id: they are gone from the table. Their memory is freed by
 * window_sweep. */
void window_drop_up_to(struct window *window, int64_t id);

/* Empties it; its floor is then `floor`. window_sweep frees the memory. */
void window_reset(struct window *window, int64_t floor);

/* Frees at most so many of the rows that were forgotten. False: there were none. */
bool window_sweep(struct window *window, size_t most);

/* The window holds every row of the table with an id above this. */
int64_t window_floor(const struct window *window);

/* The index of the first entry with an id above `after`; window_count when there is none. */
size_t window_find(const struct window *window, int64_t after);
size_t window_count(const struct window *window);
struct entry *window_at(const struct window *window, size_t index);

/* The entry's bytes in the format, made on first use. p is NULL when out of memory. */
struct slice window_encoded(struct window *window, struct entry *entry, enum format format);

size_t window_bytes(const struct window *window);

/* The longest chain in the table of collapse keys. For tests. */
size_t window_longest_chain(const struct window *window);

#endif
