/* string_map.c - chained hashing; the buckets double when there are as many names as buckets. */
#include "config.h"

#include "base/string_map.h"

#include <stdlib.h>

#define NAMES_FIRST_CAP 64

void
string_map_init(struct string_map *names, const struct hash_key *key)
{
    *names = (struct string_map){.key = *key};
}

static uint64_t
string_map_hash(const struct string_map *names, struct slice text)
{
    return hash_bytes(&names->key, text.p, text.len);
}

static struct string_map_entry **
string_map_slot(const struct string_map *names, struct slice text, uint64_t hash)
{
    struct string_map_entry **at = &names->buckets[hash & (names->cap - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->len != text.len ||
                           memcmp((*at)->text, text.p, text.len) != 0))
        at = &(*at)->next;
    return at;
}

static int
string_map_grow(struct string_map *names)
{
    size_t cap = names->cap == 0 ? NAMES_FIRST_CAP : names->cap * 2;
    struct string_map_entry **buckets = calloc(cap, sizeof(struct string_map_entry *));
    if (buckets == NULL)
        return -1;
    for (size_t i = 0; i < names->cap; i++) {
        struct string_map_entry *next;
        for (struct string_map_entry *name = names->buckets[i]; name != NULL; name = next) {
            next = name->next;
            name->next = buckets[name->hash & (cap - 1)];
            buckets[name->hash & (cap - 1)] = name;
        }
    }
    free(names->buckets);
    names->buckets = buckets;
    names->cap = cap;
    return 0;
}

struct string_map_entry *
string_map_find(const struct string_map *names, struct slice text)
{
    return names->cap == 0 ? NULL
                           : *string_map_slot(names, text, string_map_hash(names, text));
}

struct string_map_entry *
string_map_get(struct string_map *names, struct slice text)
{
    if (names->count >= names->cap && string_map_grow(names) != 0)
        return NULL;
    uint64_t hash = string_map_hash(names, text);
    struct string_map_entry **at = string_map_slot(names, text, hash);
    if (*at == NULL) {
        struct string_map_entry *name = calloc(1, sizeof *name + text.len + 1);
        if (name == NULL)
            return NULL;
        name->hash = hash;
        name->len = text.len;
        memcpy(name->text, text.p, text.len);
        *at = name;
        names->count++;
    }
    return *at;
}

void
string_map_remove(struct string_map *names, struct string_map_entry *name)
{
    struct string_map_entry **at = &names->buckets[name->hash & (names->cap - 1)];
    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
    free(name);
    names->count--;
}

size_t
string_map_longest_chain(const struct string_map *names)
{
    size_t longest = 0;
    for (size_t i = 0; i < names->cap; i++) {
        size_t len = 0;
        for (const struct string_map_entry *name = names->buckets[i]; name != NULL;
             name = name->next)
            len++;
        if (len > longest)
            longest = len;
    }
    return longest;
}

void
string_map_fini(struct string_map *names)
{
    for (size_t i = 0; i < names->cap; i++) {
        struct string_map_entry *next;
        for (struct string_map_entry *name = names->buckets[i]; name != NULL; name = next) {
            next = name->next;
            free(name->items);
            free(name);
        }
    }
    free(names->buckets);
    names->buckets = NULL;
    names->cap = names->count = 0;
}
