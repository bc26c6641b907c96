/* search.c - last=N; see hub/search.h. Called by hub/replay.c, one step in each turn of the
 * stream.
 *
 * For a rare channel in a large table a search would look at every row. So it stops after
 * SEARCH_ROWS_MAX rows, and the stream's opening says so (doc/PROTOCOL.md, "last="). */
#include "config.h"

#include "hub/search.h"

#include "base/clock.h"
#include "hub/turns.h"

#define SEARCH_ROWS_MAX 200000 /* looked at in all */
#define SEARCH_STEP_ROWS 1000  /* looked at in one step */

struct searcher {
    struct stream *stream;
    int64_t now_ms;
};

static bool
search_wants(void *arg, const struct row *row)
{
    const struct searcher *searcher = arg;
    const struct stream *stream = searcher->stream;
    return audience_allows(stream->hub->audiences, stream->audience, row);
}

static enum store_step
search_take_row(void *arg, const struct row *row)
{
    struct searcher *searcher = arg;
    struct stream *stream = searcher->stream;
    struct search *search = &stream->extra->search;
    if (!row_is_expired(row, searcher->now_ms) &&
        audience_allows(stream->hub->audiences, stream->audience, row)) {
        search->cursor = row->id - 1;
        if (--search->left == 0)
            return STORE_STOP;
    }
    return STORE_MORE; /* the walk looks at the clock */
}

static void
search_end(struct stream *stream)
{
    struct stream_extra *extra = stream->extra;
    struct resume_point start = {.cursor = extra->search.cursor};
    struct buf headers = extra->headers;
    if (extra->search.left > 0 && extra->search.looked >= SEARCH_ROWS_MAX) {
        start.is_cut_short = true;
        start.searched_to = extra->search.at + 1;
    }
    extra->search.left = 0;
    extra->headers = (struct buf){0};
    stream_begin(stream, &start, buf_slice(&headers));
    buf_fini(&headers);
}

void
search_start(struct stream *stream, uint32_t rows)
{
    int64_t tail = feed_marks(stream->hub->feed)->tail;
    stream->extra->search =
        (struct search){.left = rows, .at = tail, .newest = tail, .cursor = tail};
    stream_set_state(stream, STREAM_READY);
}

enum store_result
search_step(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct search *search = &stream->extra->search;
    struct search before = *search;
    struct store *store = feed_store(hub->feed);
    struct searcher searcher = {stream, clock_unix_ms()};
    uint32_t left = SEARCH_ROWS_MAX - search->looked;
    struct store_range range = {.after = INT64_MIN,
                                .up_to = search->at,
                                .max_rows =
                                    left < SEARCH_STEP_ROWS ? left : SEARCH_STEP_ROWS,
                                .until_ns = hub->turns.until_ns,
                                .narrow = &stream->audience->filter,
                                .wants = search_wants,
                                .collapse = true,
                                .newest = search->newest,
                                .row = search_take_row,
                                .arg = &searcher};
    struct store_progress progress = {0};
    struct error error = {""};
    if (store == NULL)
        return STORE_BUSY;
    enum store_result result = store_read_back(store, &range, &progress, &error);
    if (result != STORE_OK) {
        *search = before; /* the step is repeated and counts its rows then */
        feed_report(hub->feed, result, &error);
        return result;
    }
    search->looked += (uint32_t)progress.looked;
    search->at = progress.last - 1;
    if (search->left > 0 && !progress.complete && search->looked < SEARCH_ROWS_MAX)
        stream_set_state(stream, STREAM_READY);
    else
        search_end(stream);
    return STORE_OK;
}
