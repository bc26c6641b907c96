/* client.c - the table from pages to their streams; see hub/client.h. admit.c asks, stream.c
 * forgets.
 *
 * Each worker knows its own streams. The workers share one word for a page: in which worker it
 * opened its newest stream. A worker that finds another number there ends its own. */
#include "config.h"

#include "hub/client.h"

/* A page, as it names itself. */
struct page {
    const char *user, *address; /* NULL: there is none */
    const char *client;
};

/* The page's name in the table: who, a NUL, and client=. Neither can hold a NUL. */
static void
append_name(struct buf *name, const struct page *page)
{
    const char *address = page->address != NULL ? page->address : "";
    buf_append_text(name, page->user != NULL ? "user " : "address ");
    buf_append_text(name, page->user != NULL ? page->user : address);
    buf_append(name, "", 1);
    buf_append_text(name, page->client);
}

/* --- between workers ----------------------------------------------------------------- */

/* The worker's bits of a place. The others are the name's hash, so that two pages rarely share
 * one. */
#define WORKER_BITS 0xffU

static uint64_t *
place_of(const struct hub *hub, uint64_t hash)
{
    return &hub->config.pages->places[hash % HUB_PAGE_PLACES];
}

static uint64_t
claim_of(const struct hub *hub, uint64_t hash)
{
    return (hash & ~(uint64_t)WORKER_BITS) | hub->config.worker;
}

/* The page is in this worker from now on. */
static void
claim_page(const struct hub *hub, const struct buf *name)
{
    if (hub->config.pages == NULL || name->failed)
        return;
    uint64_t hash = hash_bytes(&hub->config.pages->key, name->p, name->len);
    __atomic_store_n(place_of(hub, hash), claim_of(hub, hash), __ATOMIC_RELAXED);
}

/* hash is that of the table's entry. If another page has taken the place, it says nothing. */
static bool
is_elsewhere(const struct hub *hub, uint64_t hash)
{
    uint64_t claim = __atomic_load_n(place_of(hub, hash), __ATOMIC_RELAXED);
    return claim != claim_of(hub, hash) && ((claim ^ hash) & ~(uint64_t)WORKER_BITS) == 0;
}

/* --- in this worker ------------------------------------------------------------------ */

enum entry_wish { ENTRY_FIND, ENTRY_MAKE };

/* The page's entry; NULL where there is none. */
static struct string_map_entry *
find_entry(struct hub *hub, const struct page *page, enum entry_wish wish)
{
    struct buf name = {0};
    struct string_map_entry *entry = NULL;
    append_name(&name, page);
    if (wish == ENTRY_FIND)
        claim_page(hub, &name);
    if (!name.failed)
        entry = wish == ENTRY_MAKE ? string_map_get(&hub->clients, buf_slice(&name))
                                   : string_map_find(&hub->clients, buf_slice(&name));
    buf_fini(&name);
    return entry;
}

static void
end_replaced(struct stream *old)
{
    old->kind->end(old, CLOSE_REPLACED, "replaced");
    if (old->client != NULL) /* a poll whose reader has not taken the answer yet */
        stream_drop(old, CLOSE_REPLACED);
}

void
client_end_old(struct hub *hub, const struct hub_request *request)
{
    if (request->client == NULL)
        return;
    const struct page page = {request->filter.user, request->address, request->client};
    const struct string_map_entry *entry = find_entry(hub, &page, ENTRY_FIND);
    if (entry == NULL)
        return;
    end_replaced(entry->items);
}

void
client_end_replaced(struct hub *hub)
{
    struct string_map_entry *next;
    for (size_t i = 0; i < hub->clients.cap; i++)
        for (struct string_map_entry *entry = hub->clients.buckets[i]; entry != NULL;
             entry = next) {
            next = entry->next; /* ending the stream frees the entry */
            if (is_elsewhere(hub, entry->hash))
                end_replaced(entry->items);
        }
}

void
client_remember(struct stream *stream, const char *client)
{
    if (client == NULL)
        return;
    const struct page page = {stream->audience->filter.user, stream->address, client};
    stream->client = find_entry(stream->hub, &page, ENTRY_MAKE);
    if (stream->client != NULL)
        stream->client->items = stream;
}

void
client_forget(struct stream *stream)
{
    if (stream->client == NULL)
        return;
    stream->client->items = NULL; /* the table does not own it */
    string_map_remove(&stream->hub->clients, stream->client);
    stream->client = NULL;
}
