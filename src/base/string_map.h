/* string_map.h - a hash table from names (channels, users) to what is kept under them. The hash
 * is keyed: the names come from strangers (see base/hash.h). */
#ifndef ROWCAST_BASE_STRING_MAP_H
#define ROWCAST_BASE_STRING_MAP_H

#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

struct string_map_entry {
    struct string_map_entry *next;
    uint64_t hash;
    size_t len;
    void *items;       /* the owner's */
    size_t count, cap; /* the owner's: of items */
    char text[];
};

struct string_map {
    struct hash_key key;
    struct string_map_entry **buckets;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

/* Empty. */
void string_map_init(struct string_map *names, const struct hash_key *key);

/* NULL when it is not there. */
struct string_map_entry *string_map_find(const struct string_map *names, struct slice text);

/* Made, with zero content, if it is not there; NULL when out of memory. */
struct string_map_entry *string_map_get(struct string_map *names, struct slice text);

/* Frees the name; its items are the owner's to free before. */
void string_map_remove(struct string_map *names, struct string_map_entry *name);

/* How many names share the fullest bucket: what the worst access costs. For tests. */
size_t string_map_longest_chain(const struct string_map *names);

/* Frees all names, and their items with free(3). */
void string_map_fini(struct string_map *names);

#endif
