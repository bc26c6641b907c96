/* names.h - a hash table from names (channels, users, addresses) to what is kept under them. */
#ifndef ROWCAST_NAMES_H
#define ROWCAST_NAMES_H

#include <stdint.h>

#include "slice.h"

struct name {
    struct name *next;
    uint64_t hash;
    size_t len;
    void *items;       /* the owner's */
    size_t count, cap; /* the owner's: of items, or a bare count */
    char text[];
};

/* Zero-initialised it is empty. */
struct names {
    struct name **buckets;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

/* NULL when it is not there. */
struct name *names_find(const struct names *names, struct slice text);

/* Made, with zero content, if it is not there; NULL when out of memory. */
struct name *names_get(struct names *names, struct slice text);

/* Frees the name; its items are the owner's to free before. */
void names_remove(struct names *names, struct name *name);

/* Frees all names, and their items with free(3). */
void names_fini(struct names *names);

#endif
