/* table_part.c - a part of a table's state; see hub/table_part.h. Called by hub/table_state.c.
 *
 * Each part is read in a short snapshot of its own, so that a slow reader holds back no checkpoint.
 * Its `at` is the cursor of that snapshot: a later change of one of its rows has a higher id, and
 * comes as an event. */
#include "config.h"

#include "hub/table_part.h"

#include <strings.h>

#include "base/json.h"
#include "hub/tables.h"
#include "hub/turns.h"

#define PART_BYTES 32768 /* ends a part: with one more row it is mostly below 64 KiB */
#define PART_ROWS 2000   /* looked at */
#define PART_NS 500000   /* time for it, however little of the turn's is left */
#define PART_KEEP_MS 1000

struct part_reader {
    struct hub *hub;
    struct buf *rows;
    const struct filter *filter;
    bool has_row; /* it has looked at a row */
};

/* As in an event: a text that is not UTF-8 is repaired; a row that would be announced and not
 * sent is no more than its key. */
static void
part_append_row(const struct hub *hub, struct buf *rows, const struct track_row *row)
{
    size_t most = hub->config.max_event_bytes;
    if (row->row.len <= most) {
        utf8_append(rows, row->row);
        return;
    }
    utf8_append(rows, (struct slice){row->key.p, row->key.len - 1}); /* without the } */
    buf_printf(rows, ",\"rowcast:too-large\":{\"bytes\":%zu,\"limit\":%zu}}", row->row.len,
               most);
}

static enum store_step
part_take_row(void *arg, const struct track_row *row)
{
    struct part_reader *reader = arg;
    struct buf *rows = reader->rows;
    if (!reader->has_row) /* the reading is paid for, whatever happens to the row */
        turns_allow(&reader->hub->turns, PART_NS);
    reader->has_row = true;
    if (row->row.p != NULL &&
        filter_matches(reader->filter, row->channel, row->recipient)) {
        if (rows->len > 0)
            buf_append_text(rows, ",");
        part_append_row(reader->hub, rows, row);
    }
    bool is_full = rows->len >= PART_BYTES || rows->failed;
    return is_full || turns_time_is_over(&reader->hub->turns) ? STORE_STOP : STORE_MORE;
}

/* True when the part is the one that the stream reads next. */
static bool
part_serves(const struct table_part *part, const struct stream *stream)
{
    const struct hub *hub = stream->hub;
    const struct table_state *tables = &stream->extra->tables;
    return part->audience == stream->audience && part->epoch == hub->epoch &&
           part->after == tables->part && part->track != NULL &&
           strcasecmp(track_name(part->track), tables->names[tables->table]) == 0 &&
           uv_now(hub->loop) - part->made_ms <= PART_KEEP_MS && part->at >= tables->at &&
           part->at >= feed_marks(hub->feed)->low_water;
}

/* Within a snapshot. */
static enum store_result
part_read(struct table_part *part, const struct stream *stream, struct error *error)
{
    struct hub *hub = stream->hub;
    struct store *store = feed_store(hub->feed);
    struct part_reader reader = {hub, &part->rows, &stream->audience->filter, false};
    struct track_cursor behind = {0};
    struct store_marks marks;
    const struct table_state *tables = &stream->extra->tables;
    enum store_result result = store_read_marks(store, &marks, error);
    if (result == STORE_OK)
        result = tables_find(hub, tables->names[tables->table], &part->track, error);
    if (result == STORE_OK && !track_cursor_copy(&behind, &tables->behind))
        result = STORE_BUSY;
    struct track_reading reading = {.track = part->track,
                                    .cursor = &behind,
                                    .max_rows = PART_ROWS,
                                    .fn = part_take_row,
                                    .arg = &reader};
    if (result == STORE_OK && part->track != NULL)
        result = track_read_rows(store, &reading, error);
    if (result != STORE_OK) {
        track_cursor_fini(&behind);
        return result;
    }
    track_cursor_fini(&part->behind);
    part->behind = behind;
    part->has_more = reading.more;
    part->at = marks.tail;
    return STORE_OK;
}

/* Makes the part; on another result than STORE_OK it serves no stream. */
static enum store_result
part_make(struct table_part *part, const struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct store *store = feed_store(hub->feed);
    struct error error = {""};

    part->audience = NULL;
    buf_clear(&part->rows);
    if (store == NULL)
        return STORE_BUSY;
    enum store_result result = store_begin_snapshot(store, &error);
    if (result == STORE_OK)
        result = part_read(part, stream, &error);
    store_end_read(store);
    if (result == STORE_BUSY || result == STORE_FAILED)
        feed_report(hub->feed, result, &error);
    if (result != STORE_OK)
        return result;
    part->audience = stream->audience;
    part->epoch = hub->epoch;
    part->after = stream->extra->tables.part;
    part->serial = ++hub->part_serial;
    part->made_ms = uv_now(hub->loop);
    return STORE_OK;
}

enum store_result
table_part_prepare(struct hub *hub, const struct stream *stream,
                   const struct table_part **part)
{
    struct table_part *oldest = &hub->parts[0];

    for (size_t i = 0; i < TABLE_PARTS_KEPT; i++) {
        *part = &hub->parts[i];
        if (part_serves(*part, stream))
            return STORE_OK;
        if (hub->parts[i].audience == NULL ||
            (oldest->audience != NULL && hub->parts[i].serial < oldest->serial))
            oldest = &hub->parts[i];
    }
    *part = oldest;
    return part_make(oldest, stream);
}

void
table_parts_forget(struct hub *hub, const struct audience *audience)
{
    for (size_t i = 0; i < TABLE_PARTS_KEPT; i++)
        if (audience == NULL || hub->parts[i].audience == audience)
            hub->parts[i].audience = NULL;
}

void
table_parts_fini(struct hub *hub)
{
    for (size_t i = 0; i < TABLE_PARTS_KEPT; i++) {
        track_cursor_fini(&hub->parts[i].behind);
        buf_fini(&hub->parts[i].rows);
    }
}
