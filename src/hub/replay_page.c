/* replay_page.c - a page of rows, from the window where it reaches back so far, else from the
 * table; see hub/replay_page.h. The last page made is kept, as the next stream often needs the
 * same one. */
#include "config.h"

#include "hub/replay_page.h"

#include "base/clock.h"
#include "hub/turns.h"
#include "store/read_log.h"

#define PAGE_BYTES 131072            /* of events; one event may exceed it */
#define PAGE_BYTES_THROTTLED 1048576 /* few writes, so larger ones */
#define PAGE_ROWS 2000               /* looked at in the table */
#define PAGE_ENTRIES 20000           /* looked at in the window */
#define CLOCK_ENTRIES 64             /* looked at between two looks at the clock */

static bool
page_is_full(const struct replay_page *page)
{
    return page->records.bytes.len >= page->most_bytes;
}

/* In a document, events are elements of an array. */
static void
page_add(struct replay_page *page, int64_t id, struct slice event)
{
    if (page->audience->format == FORMAT_JSON && page->records.events > 0)
        records_add_text(&page->records, slice_of(","));
    records_add_event(&page->records, id, event, 0);
}

/* --- from the window ----------------------------------------------------------------- */

static int
page_from_window(struct hub *hub)
{
    struct replay_page *page = &hub->page;
    struct audience *audience = page->audience;
    int64_t now_ms = clock_unix_ms();
    size_t count = window_count(hub->window);
    size_t first = window_find(hub->window, page->after);
    size_t stop = count - first > PAGE_ENTRIES ? first + PAGE_ENTRIES : count;
    int64_t last = page->after;
    size_t i;

    for (i = first; i < stop && !page_is_full(page); i++) {
        struct entry *entry = window_at(hub->window, i);
        if (entry->row.id > page->up_to)
            break;
        if (i > first && (i - first) % CLOCK_ENTRIES == 0 &&
            turns_time_is_over(&hub->turns))
            break;
        last = entry->row.id;
        if (entry->superseded || row_is_expired(&entry->row, now_ms) ||
            !audience_allows(hub->audiences, audience, &entry->row))
            continue;
        struct slice event = window_encoded(hub->window, entry, audience->format);
        if (event.p == NULL)
            return -1;
        page_add(page, entry->row.id, event);
    }
    bool complete = i == count || window_at(hub->window, i)->row.id > page->up_to;
    records_skip_to(&page->records, complete ? page->up_to : last);
    return 0;
}

/* --- from the table ------------------------------------------------------------------ */

struct page_reader {
    struct hub *hub;
    int64_t now_ms;
};

static bool
page_wants(void *arg, const struct row *row)
{
    const struct page_reader *reader = arg;
    return audience_allows(reader->hub->audiences, reader->hub->page.audience, row);
}

static enum store_step
page_take_row(void *arg, const struct row *row)
{
    const struct page_reader *reader = arg;
    struct hub *hub = reader->hub;
    struct replay_page *page = &hub->page;
    if (!row_is_expired(row, reader->now_ms) &&
        audience_allows(hub->audiences, page->audience, row)) {
        buf_clear(&hub->scratch);
        sse_append_row(&hub->scratch, page->audience->format, row,
                       hub->config.max_event_bytes);
        if (hub->scratch.failed)
            page->records.bytes.failed = true;
        else
            page_add(page, row->id, buf_slice(&hub->scratch));
    }
    return page_is_full(page) ? STORE_STOP : STORE_MORE; /* the walk looks at the clock */
}

/* Rows behind the cursor are missing, and the feed has not seen it yet: the feed must report the
 * gap. */
static enum store_step
page_take_gap(void *arg, const struct gap *gap)
{
    (void)arg;
    (void)gap;
    return STORE_STOP;
}

static enum replay_page_result
page_from_table(struct hub *hub)
{
    struct replay_page *page = &hub->page;
    struct store *store = feed_store(hub->feed);
    struct page_reader reader = {hub, clock_unix_ms()};
    struct store_cursor cursor = store_cursor_at(feed_marks(hub->feed), page->after);
    struct store_log log = {.range = {.up_to = page->up_to,
                                      .max_rows = PAGE_ROWS,
                                      .until_ns = hub->turns.until_ns,
                                      .narrow = &page->audience->filter,
                                      .wants = page_wants,
                                      .collapse = true,
                                      .row = page_take_row,
                                      .arg = &reader},
                            .gap = page_take_gap};
    struct error error = {""};
    if (store == NULL)
        return REPLAY_PAGE_UNREADABLE;
    enum store_result result = store_read_log(store, &cursor, &log, &error);
    if (log.has_gap)
        return REPLAY_PAGE_STALE;
    if (cursor.id > page->after) /* the page has some rows; the next one meets the error */
        records_skip_to(&page->records, cursor.id);
    else if (result != STORE_OK) {
        feed_report(hub->feed, result, &error);
        return REPLAY_PAGE_UNREADABLE;
    }
    return REPLAY_PAGE_OK;
}

/* --- the page ------------------------------------------------------------------------ */

/* True when the kept page has the rows after the stream's cursor. */
static bool
page_serves(const struct replay_page *page, const struct stream *stream, size_t most_bytes,
            const struct mark **from)
{
    *from = NULL;
    if (page->audience != stream->audience || page->most_bytes != most_bytes)
        return false;
    if (page->after == stream->cursor)
        return true;
    if (page->audience->format == FORMAT_JSON)
        return false; /* a document is the whole page */
    for (size_t i = 0; i + 1 < page->records.count; i++) {
        *from = &page->records.marks[i];
        if ((*from)->cursor == stream->cursor && (*from)->cut.id == 0)
            return true;
    }
    return false;
}

static enum replay_page_result
page_make(struct hub *hub)
{
    struct replay_page *page = &hub->page;
    enum replay_page_result result = REPLAY_PAGE_OK;
    records_start(&page->records, page->after);
    if (page->after < window_floor(hub->window))
        result = page_from_table(hub);
    else if (page_from_window(hub) != 0)
        result = REPLAY_PAGE_NO_MEMORY;
    if (result != REPLAY_PAGE_OK)
        return result;
    if (page->records.events == 0)
        page->records.bytes.len = 0; /* no record was begun; only the cursor moves */
    else if (records_finish(&page->records) != 0)
        return REPLAY_PAGE_NO_MEMORY;
    return REPLAY_PAGE_OK;
}

enum replay_page_result
replay_page_prepare(struct hub *hub, const struct stream *stream, const struct mark **from)
{
    struct replay_page *page = &hub->page;
    bool is_throttled = stream->extra != NULL && stream->extra->throttle_ms > 0;
    size_t most_bytes = is_throttled ? PAGE_BYTES_THROTTLED : PAGE_BYTES;
    if (page_serves(page, stream, most_bytes, from))
        return REPLAY_PAGE_OK;

    *from = NULL;
    page->audience = stream->audience;
    page->after = stream->cursor;
    page->up_to = hub_tail(hub);
    page->most_bytes = most_bytes;
    enum replay_page_result result = page_make(hub);
    if (result != REPLAY_PAGE_OK)
        page->audience = NULL;
    return result;
}
