/* client.c - the table from pages to their streams; see hub/client.h. admit.c asks, stream.c forgets. */
#include "config.h"

#include "hub/client.h"

/* Who names itself. */
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

enum entry_wish { ENTRY_FIND, ENTRY_MAKE };

/* The page's entry; NULL where there is none. */
static struct string_map_entry *
find_entry(struct hub *hub, const struct page *page, enum entry_wish wish)
{
    struct buf name = {0};
    struct string_map_entry *entry = NULL;
    append_name(&name, page);
    if (!name.failed)
        entry = wish == ENTRY_MAKE ? string_map_get(&hub->clients, buf_slice(&name))
                                   : string_map_find(&hub->clients, buf_slice(&name));
    buf_fini(&name);
    return entry;
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
    struct stream *old = entry->items;
    old->kind->end(old, CLOSE_REPLACED, "replaced");
    if (old->client != NULL) /* a poll whose reader has not taken the answer yet */
        stream_drop(old, CLOSE_REPLACED);
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
    stream->client->items = NULL; /* it is no memory of the table's */
    string_map_remove(&stream->hub->clients, stream->client);
    stream->client = NULL;
}
