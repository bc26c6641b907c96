/* channel_list.c - how many streams have asked for which channel, for status and metrics.
 *
 * It is counted for each report, from the audiences, so that opening and closing a stream costs
 * nothing. Names come from strangers, so the work is bounded: NAMES_LOOKED, some milliseconds.
 * Each of several workers puts its first names into shared memory once a second, and each reports
 * the sum. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/channel_list.h"
#include "hub/state.h"

#define NAMES_LOOKED 4096
#define ALL_CHANNELS "*"
#define COPY_TRIES 3

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

/* Most streams first; with equal numbers, by name. */
static int
compare_entries(const void *left, const void *right)
{
    const struct string_map_entry *const *a = left, *const *b = right;
    if ((*a)->count != (*b)->count)
        return (*a)->count < (*b)->count ? 1 : -1;
    return strcmp((*a)->text, (*b)->text);
}

/* Returns the table's entries in order; NULL when there are none, or no memory. */
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

/* Counts what this worker's streams ask for. The caller frees it with counts_list. */
static void
counts_init(struct channel_counts *counts, const struct hub *hub)
{
    *counts = (struct channel_counts){.left = NAMES_LOOKED};
    string_map_init(&counts->names, &hub->clients.key);
    audiences_each(hub->audiences, count_audience, counts);
}

/* As hub_each_channel. */
static size_t
counts_list(struct channel_counts *counts, size_t most, hub_channel_fn fn, void *arg)
{
    struct string_map_entry **all = sorted_entries(&counts->names);
    size_t count = counts->names.count;
    size_t listed = all == NULL ? 0 : count < most ? count : most;
    for (size_t i = 0; i < listed; i++)
        fn(arg, all[i]->text, all[i]->count);
    free(all);
    string_map_fini(&counts->names);
    return count - listed + counts->unseen;
}

/* --- between workers ----------------------------------------------------------------- */

static void
share_name(void *arg, const char *name, size_t streams)
{
    struct hub_channels *channels = arg;
    struct hub_channel_count *item = &channels->items[channels->count++];
    item->streams = streams;
    snprintf(item->name, sizeof item->name, "%s", name);
}

/* A reader that sees the same even version before and after its copy has a whole one. */
void
channel_list_share(struct hub *hub)
{
    struct hub_channels *own = &hub->config.channels[hub->config.worker];
    const struct hub_counters *counters = hub->counters;
    struct channel_counts counts;
    if (hub->shared_opened == counters->opened && hub->shared_streams == counters->streams)
        return;
    hub->shared_opened = counters->opened;
    hub->shared_streams = counters->streams;
    __atomic_store_n(&own->version, own->version | 1, __ATOMIC_SEQ_CST);
    own->count = 0;
    counts_init(&counts, hub);
    own->more = counts_list(&counts, HUB_CHANNELS_SHARED, share_name, own);
    __atomic_store_n(&own->version, own->version + 1, __ATOMIC_SEQ_CST);
}

void
hub_channels_forget(struct hub_channels *channels)
{
    channels->count = 0;
    channels->more = 0;
    __atomic_store_n(&channels->version, 0, __ATOMIC_SEQ_CST);
}

/* Makes a copy, because the shared memory may change at any time. Returns false while a worker
 * writes it: the report then lacks that worker, or the worker has died in the middle and is
 * forgotten soon. */
static bool
copy_channels(struct hub_channels *copy, const struct hub_channels *channels)
{
    for (int tries = 0; tries < COPY_TRIES; tries++) {
        uint32_t before = __atomic_load_n(&channels->version, __ATOMIC_SEQ_CST);
        memcpy(copy, channels, sizeof *copy);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (before % 2 == 0 &&
            before == __atomic_load_n(&channels->version, __ATOMIC_SEQ_CST))
            return copy->count <= HUB_CHANNELS_SHARED;
    }
    return false;
}

static void
count_others(const struct hub *hub, struct channel_counts *counts)
{
    struct hub_channels *copy = malloc(sizeof *copy);
    for (size_t i = 0; copy != NULL && i < hub->config.workers; i++) {
        if (i == hub->config.worker || !copy_channels(copy, &hub->config.channels[i]))
            continue;
        for (uint32_t at = 0; at < copy->count; at++)
            count_name(counts, copy->items[at].name, copy->items[at].streams);
        counts->unseen += copy->more;
    }
    free(copy);
}

/* --- the list ------------------------------------------------------------------------ */

size_t
hub_each_channel(const struct hub *hub, size_t most, hub_channel_fn fn, void *arg)
{
    struct channel_counts counts;
    counts_init(&counts, hub);
    if (hub->config.channels != NULL)
        count_others(hub, &counts);
    return counts_list(&counts, most, fn, arg);
}
