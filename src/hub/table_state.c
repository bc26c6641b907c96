/* table_state.c - a stream reads the tables of its state=, part by part; see hub/table_state.h.
 *
 * Called by hub/replay.c for each of its turns. Between two turns only the place after the last
 * row is kept. After the last part the stream continues as one that resumes, from the cursor of
 * the first part, so that it misses no change made meanwhile. Some events then come although a
 * part had their change already: the client sees that by the part's `at`. */
#include "config.h"

#include "hub/table_state.h"

#include <stdlib.h>
#include <string.h>

#include "hub/table_part.h"
#include "hub/tables.h"

int
table_state_set_up(struct stream *stream, const struct hub_request *request)
{
    for (size_t i = 0; i < request->tables.count && i < TABLE_STATES_MAX; i++) {
        struct table_state *tables = &stream->extra->tables;
        tables->names[i] = strdup(request->tables.names[i]);
        if (tables->names[i] == NULL)
            return -1;
        tables->count = i + 1;
    }
    return 0;
}

static void
begin_table(struct table_state *tables, size_t table)
{
    tables->table = table;
    tables->part = 0;
    track_cursor_fini(&tables->behind);
}

void
table_state_begin(struct stream *stream)
{
    if (stream->extra == NULL || stream->extra->tables.count == 0)
        return;
    struct table_state *tables = &stream->extra->tables;
    begin_table(tables, 0);
    tables->is_reading = true;
    tables->at = -1;
}

/* Moves the stream to the end of the part. Returns 0, or -1 when out of memory. */
static int
move_behind(struct table_state *tables, const struct table_part *part)
{
    if (tables->at < 0)
        tables->at = part->at;
    if (!part->has_more) {
        begin_table(tables, tables->table + 1);
        tables->is_reading = tables->table < tables->count;
        return 0;
    }
    track_cursor_fini(&tables->behind);
    tables->part = part->serial;
    return track_cursor_copy(&tables->behind, &part->behind) ? 0 : -1;
}

static void
take_part(struct stream *stream, const struct table_part *part)
{
    struct hub *hub = stream->hub;
    struct table_state *tables = &stream->extra->tables;
    const char *key[TRACK_KEY_MAX];
    struct state_part sent = {.table = slice_of(track_name(part->track)),
                              .at = part->at,
                              .key = key,
                              .key_count = track_key_count(part->track),
                              .channel = track_channel(part->track),
                              .rows = buf_slice(&part->rows),
                              .has_more = part->has_more,
                              .id = -1};
    for (size_t i = 0; i < sent.key_count; i++)
        key[i] = track_key_column(part->track, i);
    if (move_behind(tables, part) != 0) {
        stream_drop(stream, CLOSE_NO_MEMORY);
        return;
    }
    stream->cursor = tables->at;
    if (!tables->is_reading) {
        sent.id = tables->at;
        hub->counters->states++;
    }
    if (sent.rows.len == 0 && sent.has_more) { /* no row is for this reader */
        stream_set_state(stream, STREAM_READY);
        return;
    }
    hub->counters->state_bytes += sent.rows.len;
    stream->kind->take_part(stream, &sent);
}

enum store_result
table_state_step(struct stream *stream)
{
    const struct table_part *part;
    enum store_result result = table_part_prepare(stream->hub, stream, &part);
    if (result == STORE_BUSY || result == STORE_FAILED)
        return result;
    if (result == STORE_REFUSED || part->track == NULL)
        stream->kind->end(stream, CLOSE_CHANGED, "the table is not tracked any more");
    else if (part->rows.failed)
        stream_drop(stream, CLOSE_NO_MEMORY);
    else
        take_part(stream, part);
    return STORE_OK;
}

void
table_state_fini(struct table_state *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        free(tables->names[i]);
    track_cursor_fini(&tables->behind);
}

/* --- a request ----------------------------------------------------------------------------- */

/* Adds the table's channel to those that were asked for. Returns 0, or the status of a refusal. */
static int
add_channel(struct filter *filter, const char *channel, struct error *error)
{
    if (filter->requested.count == 0 ||
        patterns_match(&filter->requested, slice_of(channel)))
        return 0;
    enum patterns_result result = patterns_add_name(&filter->requested, slice_of(channel));
    if (result == PATTERNS_OK)
        result = patterns_compile(&filter->requested, PATTERNS_ASKED);
    if (result == PATTERNS_OK)
        return 0;
    error_set(error, "bad parameter channel: with that of the table it %s",
              patterns_strerror(result));
    return result == PATTERNS_NO_MEMORY ? 503 : 400;
}

static int
check_channel(const struct track *track, struct filter *filter, struct error *error)
{
    const char *channel = track_channel(track);
    if (channel == NULL) /* each row has its own */
        return 0;
    if (filter_bounds_allow(filter, slice_of(channel)))
        return add_channel(filter, channel, error);
    error_set(error, "state: the table's channel is not allowed here");
    return 403;
}

/* Why the definition does not fit the schema is for the log, where serve writes it once, and not
 * for readers. */
static int
check_table(struct hub *hub, const char *name, struct filter *filter, struct error *error)
{
    struct track *track;
    switch (tables_find(hub, name, &track, error)) {
    case STORE_OK:
        break;
    case STORE_REFUSED:
        error_set(error, "state: the table is not any more as it was when it was tracked "
                         "(`rowcast track --list` says what is wrong)");
        return 500;
    case STORE_FAILED:
        feed_report(hub->feed, STORE_FAILED, error);
        return 503;
    case STORE_BUSY:
        return 503;
    }
    if (track != NULL)
        return check_channel(track, filter, error);
    error_set(error, "bad parameter state: no table of that name is tracked");
    return 400;
}

int
hub_check_tables(struct hub *hub, const struct hub_tables *tables, struct filter *filter,
                 struct error *error)
{
    struct store *store = feed_store(hub->feed);
    int status = 0;
    if (tables->count == 0)
        return 0;
    error_set(error, "the database cannot be read just now");
    if (store == NULL || store_begin_snapshot(store, error) != STORE_OK)
        status = 503;
    for (size_t i = 0; i < tables->count && status == 0; i++)
        status = check_table(hub, tables->names[i], filter, error);
    if (store != NULL)
        store_end_read(store);
    return status;
}
