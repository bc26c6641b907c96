/* names.c - chained hashing, doubled when there are as many names as buckets. */
#include "config.h"

#include "names.h"

#include <stdlib.h>

#define NAMES_FIRST_CAP 64

static uint64_t
hash_text(struct slice text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.p[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

static struct name **
names_slot(const struct names *names, struct slice text, uint64_t hash)
{
    struct name **at = &names->buckets[hash & (names->cap - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->len != text.len ||
                           memcmp((*at)->text, text.p, text.len) != 0))
        at = &(*at)->next;
    return at;
}

static int
names_grow(struct names *names)
{
    size_t cap = names->cap == 0 ? NAMES_FIRST_CAP : names->cap * 2;
    struct name **buckets = calloc(cap, sizeof(struct name *));
    if (buckets == NULL)
        return -1;
    for (size_t i = 0; i < names->cap; i++) {
        struct name *next;
        for (struct name *name = names->buckets[i]; name != NULL; name = next) {
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

struct name *
names_find(const struct names *names, struct slice text)
{
    return names->cap == 0 ? NULL : *names_slot(names, text, hash_text(text));
}

struct name *
names_get(struct names *names, struct slice text)
{
    if (names->count >= names->cap && names_grow(names) != 0)
        return NULL;
    uint64_t hash = hash_text(text);
    struct name **at = names_slot(names, text, hash);
    if (*at == NULL) {
        struct name *name = calloc(1, sizeof *name + text.len + 1);
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
names_remove(struct names *names, struct name *name)
{
    struct name **at = &names->buckets[name->hash & (names->cap - 1)];
    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
    free(name);
    names->count--;
}

void
names_fini(struct names *names)
{
    for (size_t i = 0; i < names->cap; i++) {
        struct name *next;
        for (struct name *name = names->buckets[i]; name != NULL; name = next) {
            next = name->next;
            free(name->items);
            free(name);
        }
    }
    free(names->buckets);
    *names = (struct names){0};
}
