/* channel_list.c - how many streams have asked for which channel, for the status page.
 *
 * It is counted for each report, from the audiences, so that opening and closing a stream costs
 * nothing. Names come from strangers, so the work is bounded: NAMES_LOOKED, some milliseconds. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "hub/state.h"

#define NAMES_LOOKED 4096
#define ALL_CHANNELS "*"

/* In the table a name's `count` is the number of its streams; it has no items. */
struct channel_counts {
    struct string_map names;
    size_t left; /* names that may still be looked at */
    size_t unseen;
};

static void
count_name(struct channel_counts *counts, const char *name, size_t streams)
{
    struct string_map_entry *entry = NULL;
    if (counts->left > 0) {
        counts->left--;
        entry = string_map_get(&counts->names, slice_of(name));
    }
    if (entry == NULL) /* also without memory */
        counts->unseen++;
    else
        entry->count += streams;
}

static void
count_audience(void *arg, struct audience *audience)
{
    const struct patterns *requested = &audience->filter.requested;
    if (requested->count == 0)
        count_name(arg, ALL_CHANNELS, audience->refs);
    for (size_t i = 0; i < requested->count; i++)
        count_name(arg, requested->items[i], audience->refs);
}

/* Those of most streams first; of as many, by name. */
static int
compare_entries(const void *left, const void *right)
{
    const struct string_map_entry *const *a = left, *const *b = right;
    if ((*a)->count != (*b)->count)
        return (*a)->count < (*b)->count ? 1 : -1;
    return strcmp((*a)->text, (*b)->text);
}

/* The table's entries in order; NULL where there are none, or no memory. */
static struct string_map_entry **
sorted_entries(const struct string_map *names)
{
    struct string_map_entry **all =
        calloc(names->count + 1, sizeof(struct string_map_entry *));
    size_t count = 0;
    for (size_t i = 0; all != NULL && i < names->cap; i++)
        for (struct string_map_entry *entry = names->buckets[i]; entry != NULL;
             entry = entry->next)
            all[count++] = entry;
    if (all != NULL)
        qsort(all, count, sizeof *all, compare_entries);
    return all;
}

size_t
hub_each_channel(const struct hub *hub, size_t most, hub_channel_fn fn, void *arg)
{
    struct channel_counts counts = {.left = NAMES_LOOKED};
    string_map_init(&counts.names, &hub->clients.key);
    audiences_each(hub->audiences, count_audience, &counts);
    struct string_map_entry **all = sorted_entries(&counts.names);
    size_t count = counts.names.count;
    size_t listed = all == NULL ? 0 : count < most ? count : most;
    for (size_t i = 0; i < listed; i++)
        fn(arg, all[i]->text, all[i]->count);
    free(all);
    string_map_fini(&counts.names);
    return count - listed + counts.unseen;
}
