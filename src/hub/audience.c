/* audience.c - the index from channels and users to audiences; see hub/audience.h.
 *
 * Three ways lead to an audience, and a row takes just one of them for each: a private row by
 * its recipient, a public one by its exact channel or, for audiences with patterns, by trying
 * each. So no audience is met twice. */
#include "config.h"

#include "hub/audience.h"

#include <stdlib.h>

#include "base/string_map.h"

#define AUDIENCES_FIRST_CAP 64 /* a power of two */
#define PATTERNS "*"           /* the one name in by_pattern */

struct audiences {
    struct audience **buckets; /* by hash of filter and format */
    size_t cap;
    size_t count;
    struct string_map by_channel; /* a name's items are its audiences */
    struct string_map by_user;
    struct string_map by_pattern; /* those with patterns, all under one name */
};

struct match {
    const struct row *row;
    audience_fn fn;
    void *arg;
};

/* --- lists --------------------------------------------------------------------------------- */

static int
list_add(void **items, size_t *count, size_t *cap, struct audience *audience)
{
    struct audience **list = *items;
    if (*count == *cap) {
        size_t more = *cap == 0 ? 2 : *cap * 2;
        list = realloc(list, more * sizeof(struct audience *));
        if (list == NULL)
            return -1;
        *items = list;
        *cap = more;
    }
    list[(*count)++] = audience;
    return 0;
}

static void
list_remove(struct audience **list, size_t *count, const struct audience *audience)
{
    for (size_t i = 0; i < *count; i++) {
        if (list[i] == audience) {
            list[i] = list[--*count];
            return;
        }
    }
}

static int
shelf_add(struct string_map *names, struct slice text, struct audience *audience)
{
    struct string_map_entry *name = string_map_get(names, text);
    return name == NULL ? -1 : list_add(&name->items, &name->count, &name->cap, audience);
}

static void
shelf_remove(struct string_map *names, struct slice text, const struct audience *audience)
{
    struct string_map_entry *name = string_map_find(names, text);
    if (name == NULL)
        return;
    list_remove(name->items, &name->count, audience);
    if (name->count > 0)
        return;
    free(name->items);
    string_map_remove(names, name);
}

/* --- audiences --------------------------------------------------------------------------- */

static void
audiences_unindex(struct audiences *audiences, struct audience *audience)
{
    const struct filter *filter = &audience->filter;
    if (filter->user != NULL)
        shelf_remove(&audiences->by_user, slice_of(filter->user), audience);
    if (filter_is_exact(filter)) {
        for (size_t i = 0; i < filter->requested.count; i++)
            shelf_remove(&audiences->by_channel, slice_of(filter->requested.items[i]),
                         audience);
    } else {
        shelf_remove(&audiences->by_pattern, slice_of(PATTERNS), audience);
    }
}

static int
audiences_index(struct audiences *audiences, struct audience *audience)
{
    const struct filter *filter = &audience->filter;
    int failed = 0;
    if (filter->user != NULL)
        failed |= shelf_add(&audiences->by_user, slice_of(filter->user), audience);
    if (filter_is_exact(filter)) {
        for (size_t i = 0; i < filter->requested.count; i++)
            failed |= shelf_add(&audiences->by_channel,
                                slice_of(filter->requested.items[i]), audience);
    } else {
        failed |= shelf_add(&audiences->by_pattern, slice_of(PATTERNS), audience);
    }
    if (failed != 0)
        audiences_unindex(audiences, audience);
    return failed;
}

static void
audience_free(struct audience *audience)
{
    filter_fini(&audience->filter);
    free(audience->live);
    free(audience->batch);
    free(audience);
}

static int
audiences_grow(struct audiences *audiences)
{
    size_t cap = audiences->cap == 0 ? AUDIENCES_FIRST_CAP : audiences->cap * 2;
    struct audience **buckets = calloc(cap, sizeof(struct audience *));
    if (buckets == NULL)
        return -1;
    for (size_t i = 0; i < audiences->cap; i++) {
        struct audience *next;
        for (struct audience *a = audiences->buckets[i]; a != NULL; a = next) {
            next = a->next_same_hash;
            a->next_same_hash = buckets[a->hash & (cap - 1)];
            buckets[a->hash & (cap - 1)] = a;
        }
    }
    free(audiences->buckets);
    audiences->buckets = buckets;
    audiences->cap = cap;
    return 0;
}

static struct audience *
audiences_make(struct audiences *audiences, struct filter *filter, enum format format,
               uint64_t hash)
{
    struct audience *audience = calloc(1, sizeof *audience);
    if (audience == NULL)
        return NULL;
    filter_move(&audience->filter, filter);
    audience->format = format;
    audience->hash = hash;
    if ((audiences->count >= audiences->cap && audiences_grow(audiences) != 0) ||
        audiences_index(audiences, audience) != 0) {
        audience_free(audience);
        return NULL;
    }
    audience->next_same_hash = audiences->buckets[hash & (audiences->cap - 1)];
    audiences->buckets[hash & (audiences->cap - 1)] = audience;
    audiences->count++;
    return audience;
}

struct audience *
audiences_join(struct audiences *audiences, struct filter *filter, enum format format)
{
    uint64_t hash = filter_hash(filter) * 31 + (uint64_t)format;
    struct audience *found = NULL;
    if (audiences->cap > 0) {
        found = audiences->buckets[hash & (audiences->cap - 1)];
        while (found != NULL && (found->hash != hash || found->format != format ||
                                 !filter_equal(&found->filter, filter)))
            found = found->next_same_hash;
    }
    if (found == NULL)
        found = audiences_make(audiences, filter, format, hash);
    filter_fini(filter);
    if (found != NULL)
        found->refs++;
    return found;
}

void
audiences_leave(struct audiences *audiences, struct audience *audience)
{
    if (--audience->refs > 0)
        return;
    struct audience **at = &audiences->buckets[audience->hash & (audiences->cap - 1)];
    while (*at != audience)
        at = &(*at)->next_same_hash;
    *at = audience->next_same_hash;
    audiences->count--;
    audiences_unindex(audiences, audience);
    audience_free(audience);
}

static void
match_shelf(const struct string_map *names, struct slice text, const struct match *match)
{
    const struct string_map_entry *name = string_map_find(names, text);
    struct audience *const *items = name == NULL ? NULL : name->items;
    for (size_t i = 0; items != NULL && i < name->count; i++)
        if (filter_matches(&items[i]->filter, match->row->channel, match->row->recipient))
            match->fn(match->arg, items[i]);
}

void
audiences_match(const struct audiences *audiences, const struct row *row, audience_fn fn,
                void *arg)
{
    struct match match = {row, fn, arg};
    if (row->recipient.p != NULL) {
        match_shelf(&audiences->by_user, row->recipient, &match);
        return;
    }
    if (row->channel.p != NULL) /* a foreign table may have none */
        match_shelf(&audiences->by_channel, row->channel, &match);
    match_shelf(&audiences->by_pattern, slice_of(PATTERNS), &match);
}

void
audiences_each(const struct audiences *audiences, audience_fn fn, void *arg)
{
    for (size_t i = 0; i < audiences->cap; i++)
        for (struct audience *a = audiences->buckets[i]; a != NULL; a = a->next_same_hash)
            fn(arg, a);
}

size_t
audiences_count(const struct audiences *audiences)
{
    return audiences->count;
}

struct audiences *
audiences_new(void)
{
    return calloc(1, sizeof(struct audiences));
}

void
audiences_free(struct audiences *audiences)
{
    if (audiences == NULL)
        return;
    for (size_t i = 0; i < audiences->cap; i++) {
        struct audience *next;
        for (struct audience *a = audiences->buckets[i]; a != NULL; a = next) {
            next = a->next_same_hash;
            audience_free(a);
        }
    }
    free(audiences->buckets);
    string_map_fini(&audiences->by_channel);
    string_map_fini(&audiences->by_user);
    string_map_fini(&audiences->by_pattern);
    free(audiences);
}
