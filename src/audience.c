/* audience.c - the index from channels and users to audiences; see audience.h.
 *
 * Three ways lead to an audience, and a row takes just one of them for each: a private row by
 * its recipient, a public one by its exact channel or, for audiences with patterns, by trying
 * each. So no audience is met twice. */
#include "config.h"

#include "audience.h"

#include <stdlib.h>

#define TABLE_FIRST_CAP 64 /* a power of two */

struct list {
    struct audience **items;
    size_t count, cap;
};

/* The audiences under one name (a channel or a user). */
struct shelf {
    struct shelf *next;
    struct list list;
    uint64_t hash;
    size_t len;
    char name[];
};

struct table {
    struct shelf **buckets;
    size_t cap;
    size_t count;
};

struct audiences {
    struct audience **buckets; /* by hash of filter and format */
    size_t cap;
    size_t count;
    struct table by_channel;
    struct table by_user;
    struct list by_pattern;
};

/* --- lists and tables -------------------------------------------------------------------- */

static int
list_add(struct list *list, struct audience *audience)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 2 : list->cap * 2;
        struct audience **items = realloc(list->items, cap * sizeof(struct audience *));
        if (items == NULL)
            return -1;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = audience;
    return 0;
}

static void
list_remove(struct list *list, const struct audience *audience)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] == audience) {
            list->items[i] = list->items[--list->count];
            return;
        }
    }
}

static uint64_t
hash_name(struct slice name)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

static struct shelf **
table_find(const struct table *table, struct slice name, uint64_t hash)
{
    struct shelf **at = &table->buckets[hash & (table->cap - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->len != name.len ||
                           memcmp((*at)->name, name.p, name.len) != 0))
        at = &(*at)->next;
    return at;
}

static int
table_grow(struct table *table)
{
    size_t cap = table->cap == 0 ? TABLE_FIRST_CAP : table->cap * 2;
    struct shelf **buckets = calloc(cap, sizeof(struct shelf *));
    if (buckets == NULL)
        return -1;
    for (size_t i = 0; i < table->cap; i++) {
        struct shelf *next;
        for (struct shelf *shelf = table->buckets[i]; shelf != NULL; shelf = next) {
            next = shelf->next;
            shelf->next = buckets[shelf->hash & (cap - 1)];
            buckets[shelf->hash & (cap - 1)] = shelf;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->cap = cap;
    return 0;
}

static int
table_add(struct table *table, struct slice name, struct audience *audience)
{
    if (table->count >= table->cap && table_grow(table) != 0)
        return -1;
    uint64_t hash = hash_name(name);
    struct shelf **at = table_find(table, name, hash);
    if (*at == NULL) {
        struct shelf *shelf = calloc(1, sizeof *shelf + name.len + 1);
        if (shelf == NULL)
            return -1;
        shelf->hash = hash;
        shelf->len = name.len;
        memcpy(shelf->name, name.p, name.len);
        *at = shelf;
        table->count++;
    }
    return list_add(&(*at)->list, audience);
}

static void
table_remove(struct table *table, struct slice name, const struct audience *audience)
{
    if (table->cap == 0)
        return;
    struct shelf **at = table_find(table, name, hash_name(name));
    struct shelf *shelf = *at;
    if (shelf == NULL)
        return;
    list_remove(&shelf->list, audience);
    if (shelf->list.count > 0)
        return;
    *at = shelf->next;
    free(shelf->list.items);
    free(shelf);
    table->count--;
}

static const struct list *
table_get(const struct table *table, struct slice name)
{
    static const struct list none;
    if (table->cap == 0)
        return &none;
    const struct shelf *shelf = *table_find(table, name, hash_name(name));
    return shelf == NULL ? &none : &shelf->list;
}

/* --- audiences --------------------------------------------------------------------------- */

static void
audiences_unindex(struct audiences *audiences, struct audience *audience)
{
    const struct filter *filter = &audience->filter;
    if (filter->user != NULL)
        table_remove(&audiences->by_user, slice_of(filter->user), audience);
    if (filter_is_exact(filter)) {
        for (size_t i = 0; i < filter->requested.count; i++)
            table_remove(&audiences->by_channel, slice_of(filter->requested.items[i]),
                         audience);
    } else {
        list_remove(&audiences->by_pattern, audience);
    }
}

static int
audiences_index(struct audiences *audiences, struct audience *audience)
{
    const struct filter *filter = &audience->filter;
    int failed = 0;
    if (filter->user != NULL)
        failed |= table_add(&audiences->by_user, slice_of(filter->user), audience);
    if (filter_is_exact(filter)) {
        for (size_t i = 0; i < filter->requested.count; i++)
            failed |= table_add(&audiences->by_channel,
                                slice_of(filter->requested.items[i]), audience);
    } else {
        failed |= list_add(&audiences->by_pattern, audience);
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
    size_t cap = audiences->cap == 0 ? TABLE_FIRST_CAP : audiences->cap * 2;
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
match_list(const struct list *list, const struct row *row, audience_fn fn, void *arg)
{
    for (size_t i = 0; i < list->count; i++)
        if (filter_matches(&list->items[i]->filter, row->channel, row->recipient))
            fn(arg, list->items[i]);
}

void
audiences_match(const struct audiences *audiences, const struct row *row, audience_fn fn,
                void *arg)
{
    if (row->recipient.p != NULL) {
        match_list(table_get(&audiences->by_user, row->recipient), row, fn, arg);
        return;
    }
    match_list(table_get(&audiences->by_channel, row->channel), row, fn, arg);
    match_list(&audiences->by_pattern, row, fn, arg);
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

static void
table_fini(struct table *table)
{
    for (size_t i = 0; i < table->cap; i++) {
        struct shelf *next;
        for (struct shelf *shelf = table->buckets[i]; shelf != NULL; shelf = next) {
            next = shelf->next;
            free(shelf->list.items);
            free(shelf);
        }
    }
    free(table->buckets);
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
    table_fini(&audiences->by_channel);
    table_fini(&audiences->by_user);
    free(audiences->by_pattern.items);
    free(audiences);
}
