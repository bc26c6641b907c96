/* window.c - a ring of rows, oldest evicted first; see hub/window.h.
 *
 * hub/hub.c adds what the feed finds and reads it back by index. An entry and its raw bytes are
 * one allocation; encodings are added when they are needed, FORMAT_JSON sharing NDJSON's
 * bytes less the line end. A small hash finds the entry that a collapse key replaces. */
#include "config.h"

#include "hub/window.h"

#include <stdlib.h>

#include "base/buf.h"
#include "event/sse.h"

#define WINDOW_FIRST_CAP 256 /* a power of two, as every later one */
#define MALLOC_OVERHEAD 16   /* what an allocation costs beside its bytes, about */

/* What is left of a window that was reset: entries that no stream reads any more. */
struct remains {
    struct entry **ring;
    size_t cap, start, count, bytes;
};

struct window {
    struct entry **ring; /* cap of them */
    size_t cap;
    size_t start; /* index in the ring of the oldest */
    size_t count;
    size_t dropped; /* of the oldest, how many are dropped but not freed yet */
    size_t bytes;
    struct remains remains;
    size_t max_bytes;
    size_t max_event_bytes;
    int64_t floor;
    struct hash_key key;
    struct entry *
        *newest;       /* by hash of (channel, recipient, key): the newest row with it */
    size_t newest_cap; /* a power of two */
    struct buf scratch;
};

struct window *
window_new(size_t max_bytes, size_t max_event_bytes, const struct hash_key *key)
{
    struct window *window = calloc(1, sizeof *window);
    if (window == NULL)
        return NULL;
    window->key = *key;
    window->max_bytes = max_bytes;
    window->max_event_bytes = max_event_bytes;
    window->cap = WINDOW_FIRST_CAP;
    window->newest_cap = WINDOW_FIRST_CAP;
    window->ring = calloc(window->cap, sizeof(struct entry *));
    window->newest = calloc(window->newest_cap, sizeof(struct entry *));
    if (window->ring == NULL || window->newest == NULL) {
        window_free(window);
        return NULL;
    }
    return window;
}

/* The entry at that place in the ring; dropped ones count. */
static struct entry *
ring_at(const struct window *window, size_t index)
{
    return window->ring[(window->start + index) & (window->cap - 1)];
}

struct entry *
window_at(const struct window *window, size_t index)
{
    return ring_at(window, window->dropped + index);
}

static struct entry **
window_key_bucket(const struct window *window, const struct row *row)
{
    uint64_t hash = hash_add(&window->key, 0, row->channel);
    hash = hash_add(&window->key, hash, row->recipient);
    hash = hash_add(&window->key, hash, row->collapse_key);
    return &window->newest[hash & (window->newest_cap - 1)];
}

static bool
same_key(const struct row *a, const struct row *b)
{
    return slice_equal(a->collapse_key, b->collapse_key) &&
           slice_equal(a->channel, b->channel) && slice_equal(a->recipient, b->recipient);
}

/* The link to the newest row with this row's key; a link to NULL when there is none. */
static struct entry **
window_find_newest(const struct window *window, const struct row *row)
{
    struct entry **at = window_key_bucket(window, row);
    while (*at != NULL && !same_key(&(*at)->row, row))
        at = &(*at)->next_newest;
    return at;
}

/* Puts the row in the place of the one that it replaces, and marks that one. */
static void
window_supersede(struct window *window, struct entry *entry)
{
    if (entry->row.collapse_key.p == NULL)
        return;
    struct entry **at = window_find_newest(window, &entry->row);
    struct entry *older = *at;
    entry->next_newest = NULL;
    if (older != NULL) {
        older->superseded = true;
        entry->next_newest = older->next_newest;
    }
    *at = entry;
}

static void
entry_free(struct entry *entry)
{
    for (int i = 0; i < FORMATS; i++)
        free(entry->encoded[i]);
    free(entry);
}

static void
window_evict(struct window *window)
{
    struct entry *entry = ring_at(window, 0);
    if (entry->row.collapse_key.p != NULL && !entry->superseded)
        *window_find_newest(window, &entry->row) = entry->next_newest;
    if (window->floor < entry->row.id)
        window->floor = entry->row.id;
    window->dropped -= window->dropped > 0;
    window->bytes -= entry->bytes;
    window->start = (window->start + 1) & (window->cap - 1);
    window->count--;
    entry_free(entry);
}

/* Copies a slice to *to and moves that on. */
static struct slice
copy_slice(char **to, struct slice from)
{
    if (from.p == NULL)
        return from;
    struct slice copy = {*to, from.len};
    if (from.len > 0)
        memcpy(*to, from.p, from.len);
    (*to)[from.len] = '\0';
    *to += from.len + 1;
    return copy;
}

static struct entry *
entry_new(const struct row *row)
{
    size_t text = row->channel.len + row->recipient.len + row->event.len + row->data.len +
                  row->collapse_key.len + 5;
    struct entry *entry = malloc(sizeof *entry + text);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.row = *row, .bytes = sizeof *entry + text + MALLOC_OVERHEAD};
    char *to = (char *)(entry + 1);
    entry->row.channel = copy_slice(&to, row->channel);
    entry->row.recipient = copy_slice(&to, row->recipient);
    entry->row.event = copy_slice(&to, row->event);
    entry->row.data = copy_slice(&to, row->data);
    entry->row.collapse_key = copy_slice(&to, row->collapse_key);
    return entry;
}

static int
window_grow(struct window *window)
{
    size_t cap = window->cap * 2;
    struct entry **ring = calloc(cap, sizeof(struct entry *));
    struct entry **newest = calloc(cap, sizeof(struct entry *));
    if (ring == NULL || newest == NULL) {
        free(ring);
        free(newest);
        return -1;
    }
    for (size_t i = 0; i < window->count; i++)
        ring[i] = ring_at(window, i);
    free(window->ring);
    free(window->newest);
    window->bytes += (cap - window->cap) * 2 * sizeof(struct entry *);
    window->ring = ring;
    window->newest = newest;
    window->cap = cap;
    window->newest_cap = cap;
    window->start = 0;
    for (size_t i = 0; i < window->count; i++)
        if (!ring[i]->superseded)
            window_supersede(window, ring[i]);
    return 0;
}

int
window_add(struct window *window, const struct row *row)
{
    struct entry *entry = entry_new(row);
    if (entry == NULL || (window->count == window->cap && window_grow(window) != 0)) {
        free(entry);
        window_reset(window, row->id);
        return -1;
    }
    window->ring[(window->start + window->count) & (window->cap - 1)] = entry;
    window->count++;
    window->bytes += entry->bytes;
    window_supersede(window, entry);
    return 0;
}

void
window_trim(struct window *window, int64_t keep_after)
{
    while (window->count > 0 && window->bytes > window->max_bytes &&
           (window->dropped > 0 || ring_at(window, 0)->row.id <= keep_after))
        window_evict(window);
}

void
window_drop_up_to(struct window *window, int64_t id)
{
    window->dropped += window_find(window, id);
    if (window->floor < id)
        window->floor = id;
}

/* --- what takes its time ------------------------------------------------------------- */

static bool
remains_free_one(struct remains *remains)
{
    if (remains->count == 0)
        return false;
    struct entry *entry = remains->ring[remains->start];
    remains->start = (remains->start + 1) & (remains->cap - 1);
    remains->bytes -= entry->bytes;
    entry_free(entry);
    if (--remains->count > 0)
        return true;
    free(remains->ring);
    *remains = (struct remains){0};
    return true;
}

static void
remains_free(struct remains *remains)
{
    while (remains_free_one(remains))
        continue;
}

/* The ring and its entries become the remains. -1 when out of memory. */
static int
window_begin_anew(struct window *window)
{
    struct entry **ring = calloc(WINDOW_FIRST_CAP, sizeof(struct entry *));
    struct entry **newest = calloc(WINDOW_FIRST_CAP, sizeof(struct entry *));
    if (ring == NULL || newest == NULL) {
        free(ring);
        free(newest);
        return -1;
    }
    remains_free(&window->remains); /* of an earlier reset */
    window->remains = (struct remains){window->ring, window->cap, window->start,
                                       window->count, window->bytes};
    free(window->newest);
    window->ring = ring;
    window->newest = newest;
    window->cap = window->newest_cap = WINDOW_FIRST_CAP;
    window->start = window->count = window->dropped = window->bytes = 0;
    return 0;
}

void
window_reset(struct window *window, int64_t floor)
{
    if (window->count > 0 && window_begin_anew(window) != 0)
        while (window->count > 0)
            window_evict(window);
    window->floor = floor;
}

bool
window_sweep(struct window *window, size_t most)
{
    size_t done = 0;
    while (done < most && remains_free_one(&window->remains))
        done++;
    for (; done < most && window->dropped > 0; done++)
        window_evict(window);
    return done > 0;
}

int64_t
window_floor(const struct window *window)
{
    return window->floor;
}

size_t
window_find(const struct window *window, int64_t after)
{
    size_t low = 0;
    size_t high = window_count(window);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (window_at(window, middle)->row.id <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t
window_count(const struct window *window)
{
    return window->count - window->dropped;
}

struct slice
window_encoded(struct window *window, struct entry *entry, enum format format)
{
    if (entry->encoded[format] == NULL) {
        struct buf *buf = &window->scratch;
        buf_clear(buf);
        sse_append_row(buf, format, &entry->row, window->max_event_bytes);
        char *copy = buf->failed ? NULL : malloc(buf->len);
        if (copy == NULL)
            return (struct slice){NULL, 0};
        memcpy(copy, buf->p, buf->len);
        entry->encoded[format] = copy;
        entry->encoded_len[format] = buf->len;
        entry->bytes += buf->len + MALLOC_OVERHEAD;
        window->bytes += buf->len + MALLOC_OVERHEAD;
    }
    return (struct slice){entry->encoded[format], entry->encoded_len[format]};
}

size_t
window_bytes(const struct window *window)
{
    return window->bytes + window->remains.bytes;
}

void
window_free(struct window *window)
{
    if (window == NULL)
        return;
    if (window->ring != NULL && window->newest != NULL)
        window_reset(window, 0);
    remains_free(&window->remains);
    buf_fini(&window->scratch);
    free(window->ring);
    free(window->newest);
    free(window);
}

size_t
window_longest_chain(const struct window *window)
{
    size_t longest = 0;
    for (size_t i = 0; i < window->newest_cap; i++) {
        size_t len = 0;
        for (const struct entry *e = window->newest[i]; e != NULL; e = e->next_newest)
            len++;
        if (len > longest)
            longest = len;
    }
    return longest;
}
