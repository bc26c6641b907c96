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

/* An audience's entry under one name. The name's items are pointers to seats, and a seat knows its
 * index among them. So an audience leaves a name in one step, however many share it. */
struct seat {
    struct audience *audience;
    struct string_map *table;
    struct string_map_entry *name;
    size_t index;
};

struct audiences {
    struct hash_key key;
    struct audience **buckets; /* by hash of filter and format */
    size_t cap;
    size_t count;
    struct string_map by_channel;
    struct string_map by_user;
    struct string_map by_pattern; /* those with patterns, all under one name */
    struct channel_memory memory;
};

struct match {
    const struct row *row;
    struct channel_mark mark; /* of its channel */
    const struct audience_visitor *visitor;
};

static bool
match_wants(const struct match *match, const struct audience *audience)
{
    const struct audience_visitor *visitor = match->visitor;
    return visitor->is_wanted == NULL || visitor->is_wanted(visitor->arg, audience);
}

/* --- seats --------------------------------------------------------------------------------- */

static int
name_add(struct string_map_entry *name, struct seat *seat)
{
    struct seat **seats = name->items;
    if (name->count == name->cap) {
        size_t cap = name->cap == 0 ? 2 : name->cap * 2;
        seats = realloc(seats, cap * sizeof(struct seat *));
        if (seats == NULL)
            return -1;
        name->items = seats;
        name->cap = cap;
    }
    seat->name = name;
    seat->index = name->count;
    seats[name->count++] = seat;
    return 0;
}

static void
remove_if_empty(struct string_map *table, struct string_map_entry *name)
{
    if (name->count > 0)
        return;
    free(name->items);
    string_map_remove(table, name);
}

static int
seat_take(struct audience *audience, struct string_map *table, struct slice text)
{
    struct string_map_entry *name = string_map_get(table, text);
    struct seat *seat = &audience->seats[audience->seat_count];
    if (name == NULL)
        return -1;
    *seat = (struct seat){.audience = audience, .table = table};
    if (name_add(name, seat) != 0) {
        remove_if_empty(table, name);
        return -1;
    }
    audience->seat_count++;
    return 0;
}

/* The last seat under the name moves to the free place. */
static void
seat_leave(struct seat *seat)
{
    struct string_map_entry *name = seat->name;
    struct seat **seats = name->items;
    struct seat *last = seats[--name->count];
    seats[seat->index] = last;
    last->index = seat->index;
    remove_if_empty(seat->table, name);
}

/* --- audiences --------------------------------------------------------------------------- */

static void
audience_unindex(struct audience *audience)
{
    while (audience->seat_count > 0)
        seat_leave(&audience->seats[--audience->seat_count]);
}

static int
take_seats(struct audiences *audiences, struct audience *audience)
{
    const struct filter *filter = &audience->filter;
    if (filter->user != NULL &&
        seat_take(audience, &audiences->by_user, slice_of(filter->user)) != 0)
        return -1;
    if (!filter_is_exact(filter))
        return seat_take(audience, &audiences->by_pattern, slice_of(PATTERNS));
    for (size_t i = 0; i < filter->requested.count; i++)
        if (seat_take(audience, &audiences->by_channel,
                      slice_of(filter->requested.items[i])) != 0)
            return -1;
    return 0;
}

static int
audience_index(struct audiences *audiences, struct audience *audience)
{
    /* One for the user, and one for each channel or one for all patterns. */
    size_t most = 2 + audience->filter.requested.count;
    audience->seats = calloc(most, sizeof *audience->seats);
    if (audience->seats == NULL)
        return -1;
    if (take_seats(audiences, audience) == 0)
        return 0;
    audience_unindex(audience);
    return -1;
}

static void
audience_free(struct audience *audience)
{
    filter_fini(&audience->filter);
    free(audience->seats);
    free(audience->verdicts);
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
        audience_index(audiences, audience) != 0) {
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
    uint64_t hash = filter_hash(filter, &audiences->key) + (uint64_t)format;
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
    audience_unindex(audience);
    audience_free(audience);
}

/* --- matching ------------------------------------------------------------------------------ */

/* Without patterns, comparing names is faster than a look into the memory of verdicts. */
static bool
judge_channel(struct audience *audience, struct slice channel, struct channel_mark mark)
{
    if (mark.serial == 0 || !filter_has_globs(&audience->filter))
        return filter_allows_channel(&audience->filter, channel);
    if (audience->verdicts == NULL)
        audience->verdicts = calloc(1, sizeof *audience->verdicts);
    if (audience->verdicts == NULL) /* out of memory: matching is slower, and still right */
        return filter_allows_channel(&audience->filter, channel);
    enum verdict verdict = verdicts_get(audience->verdicts, mark);
    if (verdict == VERDICT_UNKNOWN) {
        verdict =
            filter_allows_channel(&audience->filter, channel) ? VERDICT_YES : VERDICT_NO;
        verdicts_set(audience->verdicts, mark, verdict);
    }
    return verdict == VERDICT_YES;
}

bool
audience_allows(struct audiences *audiences, struct audience *audience,
                const struct row *row)
{
    const struct filter *filter = &audience->filter;
    if (!filter_allows_recipient(filter, row->recipient))
        return false;
    struct channel_mark mark = {0, 0};
    if (filter_has_globs(filter))
        mark = channel_memory_mark(&audiences->memory, row->channel);
    return judge_channel(audience, row->channel, mark);
}

static void
match_name(const struct string_map *names, struct slice text, const struct match *match)
{
    const struct string_map_entry *name = string_map_find(names, text);
    struct seat *const *seats = name == NULL ? NULL : name->items;
    for (size_t i = 0; seats != NULL && i < name->count; i++) {
        struct audience *audience = seats[i]->audience;
        if (match_wants(match, audience) &&
            filter_allows_recipient(&audience->filter, match->row->recipient) &&
            judge_channel(audience, match->row->channel, match->mark))
            match->visitor->fn(match->visitor->arg, audience);
    }
}

void
audiences_match(struct audiences *audiences, const struct row *row, audience_fn fn,
                void *arg)
{
    const struct audience_visitor visitor = {fn, NULL, arg};
    audiences_match_wanted(audiences, row, &visitor);
}

void
audiences_match_wanted(struct audiences *audiences, const struct row *row,
                       const struct audience_visitor *visitor)
{
    struct match match = {row, channel_memory_mark(&audiences->memory, row->channel),
                          visitor};
    if (row->recipient.p != NULL) {
        match_name(&audiences->by_user, row->recipient, &match);
        return;
    }
    if (row->channel.p != NULL) /* a foreign table may have none */
        match_name(&audiences->by_channel, row->channel, &match);
    match_name(&audiences->by_pattern, slice_of(PATTERNS), &match);
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

static size_t
longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t
audiences_longest_chain(const struct audiences *audiences)
{
    size_t longest = longer(string_map_longest_chain(&audiences->by_channel),
                            string_map_longest_chain(&audiences->by_user));
    for (size_t i = 0; i < audiences->cap; i++) {
        size_t len = 0;
        for (struct audience *a = audiences->buckets[i]; a != NULL; a = a->next_same_hash)
            len++;
        longest = longer(longest, len);
    }
    return longest;
}

struct audiences *
audiences_new(const struct hash_key *key)
{
    struct audiences *audiences = calloc(1, sizeof *audiences);
    if (audiences == NULL)
        return NULL;
    audiences->key = audiences->memory.key = *key;
    string_map_init(&audiences->by_channel, key);
    string_map_init(&audiences->by_user, key);
    string_map_init(&audiences->by_pattern, key);
    return audiences;
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
