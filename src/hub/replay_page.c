/* replay_page.c - the rows that a stream needs next, packed: from the window where it reaches back so
 * far, else from the table. The last page made is kept, as the next stream often needs the
 * same one. */
#include "config.h"

#include "hub/state.h"

#define REPLAY_PAGE_BYTES 131072            /* of events; one event may exceed it */
#define REPLAY_PAGE_BYTES_THROTTLED 1048576 /* few writes, so larger ones */
#define REPLAY_PAGE_ROWS 2000               /* looked at in the table */
#define PAGE_ENTRIES 20000                  /* looked at in the window */

static size_t
replay_page_bytes(const struct replay_page *page)
{
    return page->throttled ? REPLAY_PAGE_BYTES_THROTTLED : REPLAY_PAGE_BYTES;
}

/* Events of a JSON document are the elements of an array. */
static void
replay_page_add(struct replay_page *page, enum format format, int64_t id,
                struct slice event)
{
    if (format == FORMAT_JSON && page->records.events > 0)
        records_add_text(&page->records, slice_of(","));
    records_add_event(&page->records, id, event, 0);
}

/* --- a page from the window ---------------------------------------------------------------- */

static int
replay_page_from_window(struct hub *hub, const struct audience *audience)
{
    struct replay_page *page = &hub->page;
    int64_t now_ms = wall_clock_ms();
    size_t count = window_count(hub->window);
    size_t i = window_find(hub->window, page->after);
    size_t stop = count - i > PAGE_ENTRIES ? i + PAGE_ENTRIES : count;
    int64_t last = page->after;

    for (; i < stop && page->records.bytes.len < replay_page_bytes(page); i++) {
        struct entry *entry = window_at(hub->window, i);
        if (entry->row.id > page->up_to)
            break;
        last = entry->row.id;
        if (entry->superseded || row_is_expired(&entry->row, now_ms) ||
            !filter_matches(&audience->filter, entry->row.channel, entry->row.recipient))
            continue;
        struct slice event = window_encoded(hub->window, entry, audience->format);
        if (event.p == NULL)
            return -1;
        replay_page_add(page, audience->format, entry->row.id, event);
    }
    bool complete = i == count || window_at(hub->window, i)->row.id > page->up_to;
    records_skip_to(&page->records, complete ? page->up_to : last);
    return 0;
}

/* --- a page from the table ----------------------------------------------------------------- */

struct replay_page_reader {
    struct hub *hub;
    const struct audience *audience;
    int64_t now_ms;
};

static enum store_step
replay_page_take_row(void *arg, const struct row *row)
{
    struct replay_page_reader *reader = arg;
    struct hub *hub = reader->hub;
    const struct audience *audience = reader->audience;
    if (row_is_expired(row, reader->now_ms) ||
        !filter_matches(&audience->filter, row->channel, row->recipient))
        return STORE_MORE;
    buf_clear(&hub->scratch);
    sse_append_row(&hub->scratch, audience->format, row, hub->config.max_event_bytes);
    if (hub->scratch.failed)
        hub->page.records.bytes.failed = true;
    else
        replay_page_add(&hub->page, audience->format, row->id, buf_slice(&hub->scratch));
    return hub->page.records.bytes.len < replay_page_bytes(&hub->page) ? STORE_MORE
                                                                       : STORE_STOP;
}

/* Rows and what was deleted must be of one snapshot: a row that follows on deleted ones would
 * otherwise hide the gap between. *stale: the feed's marks are not those of this snapshot. */
static enum store_result
replay_page_check_marks(const struct hub *hub, struct store *store, bool *stale,
                        struct error *error)
{
    struct store_marks marks;
    const struct store_marks *known = feed_marks(hub->feed);
    enum store_result result = store_read_marks(store, &marks, error);
    *stale = result == STORE_OK &&
             (marks.low_water != known->low_water || marks.base != known->base);
    return result;
}

/* Within one read transaction. */
static enum store_result
replay_page_read_table(struct hub *hub, const struct audience *audience,
                       struct store *store, bool *stale, struct error *error)
{
    struct replay_page *page = &hub->page;
    struct replay_page_reader reader = {hub, audience, wall_clock_ms()};
    struct store_range range = {.after = page->after,
                                .up_to = page->up_to,
                                .max_rows = REPLAY_PAGE_ROWS,
                                .narrow = &audience->filter,
                                .collapse = true};
    struct store_progress progress = {.last = page->after};
    enum store_result result = replay_page_check_marks(hub, store, stale, error);
    if (result != STORE_OK || *stale)
        return result;
    result =
        store_read_range(store, &range, replay_page_take_row, &reader, &progress, error);
    if (progress.last == page->after)
        return result;
    records_skip_to(&page->records, progress.last);
    return STORE_OK; /* what was read counts; the next page meets the trouble again */
}

static enum replay_page_result
replay_page_from_table(struct hub *hub, const struct audience *audience)
{
    struct store *store = feed_store(hub->feed);
    struct error error = {""};
    bool stale = false;
    if (store == NULL)
        return REPLAY_PAGE_UNREADABLE;
    enum store_result result = store_begin_read(store, &error);
    if (result == STORE_OK)
        result = replay_page_read_table(hub, audience, store, &stale, &error);
    store_end_read(store);
    if (result != STORE_OK) {
        feed_report(hub->feed, result, &error);
        return REPLAY_PAGE_UNREADABLE;
    }
    return stale ? REPLAY_PAGE_STALE : REPLAY_PAGE_OK;
}

/* True when the page at hand has what comes behind the stream's cursor. */
static bool
replay_page_serves(const struct replay_page *page, const struct stream *stream,
                   bool throttled, const struct mark **from)
{
    if (page->audience != stream->audience || page->throttled != throttled)
        return false;
    *from = NULL;
    if (page->after == stream->cursor)
        return true;
    if (stream->is_poll)
        return false; /* a document is the whole page */
    for (size_t i = 0; i + 1 < page->records.count; i++) {
        *from = &page->records.marks[i];
        if ((*from)->cursor == stream->cursor && (*from)->cut.id == 0)
            return true;
    }
    return false;
}

enum replay_page_result
replay_page_prepare(struct hub *hub, const struct stream *stream, const struct mark **from)
{
    struct replay_page *page = &hub->page;
    const struct audience *audience = stream->audience;
    bool throttled = stream->extra != NULL && stream->extra->throttle_ms > 0;
    if (replay_page_serves(page, stream, throttled, from))
        return REPLAY_PAGE_OK;

    *from = NULL;
    page->audience = NULL;
    page->after = stream->cursor;
    page->up_to = hub->tail;
    page->throttled = throttled;
    records_start(&page->records, page->after);
    enum replay_page_result result = REPLAY_PAGE_OK;
    if (page->after < window_floor(hub->window))
        result = replay_page_from_table(hub, audience);
    else if (replay_page_from_window(hub, audience) != 0)
        result = REPLAY_PAGE_NO_MEMORY;
    if (result != REPLAY_PAGE_OK)
        return result;
    if (page->records.events == 0)
        page->records.bytes.len = 0; /* nothing was opened; only the cursor moves */
    else if (records_finish(&page->records) != 0)
        return REPLAY_PAGE_NO_MEMORY;
    page->audience = audience;
    return REPLAY_PAGE_OK;
}
