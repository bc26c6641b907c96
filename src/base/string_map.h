/* string_map.h - a hash table from names (channels, users) to its owner's items. The hash has a
 * key, because the names come from outside (see base/hash.h). */
#ifndef ROWCAST_BASE_STRING_MAP_H
#define ROWCAST_BASE_STRING_MAP_H

#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

struct string_map_entry {
    struct string_map_entry *next;
    uint64_t hash;
    size_t len;
    void *items;       /* the owner of the map sets these three; see string_map_fini */
    size_t count, cap; /* of items */
    char text[];
};

struct string_map {
    struct hash_key key;
    struct string_map_entry **buckets;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

/* Makes an empty map; allocates nothing. */
void string_map_init(struct string_map *names, const struct hash_key *key);

/* NULL when the map does not have the name. */
struct string_map_entry *string_map_find(const struct string_map *names, struct slice text);

/* Finds the name, or adds it without items. NULL when out of memory. */
struct string_map_entry *string_map_get(struct string_map *names, struct slice text);

/* Frees the entry, but not its items: the caller frees them first. */
void string_map_remove(struct string_map *names, struct string_map_entry *name);

/* How many names the fullest bucket has: the cost of the worst access. For tests. */
size_t string_map_longest_chain(const struct string_map *names);

/* Frees all names, and their items with free(3). */
void string_map_fini(struct string_map *names);

#endif
