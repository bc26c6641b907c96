/* reset.c - the event that makes readers of a tracked table load its state again: `op` is "reset".
 *
 * Called by track/apply.c, for what is tracked from now on and for what was until now: a reader
 * whose copy is of another form, or lacks what happened without triggers, asks for the state
 * again, without an id. So it also learns that the table is not tracked any more: its request is
 * refused. */
#include "config.h"

#include "track/internal.h"

#include "base/json.h"

static void
put_head(sqlite3_str *sql, const struct track_definition *definition)
{
    sqlite3_str_appendf(
        sql, "INSERT INTO \"%w\"(channel, event, collapse_key, data)\nSELECT DISTINCT ",
        definition->notification);
}

/* The event's other columns. */
static void
put_columns(sqlite3_str *sql, const struct track_definition *definition)
{
    struct buf json = {0};

    buf_append_text(&json, "{\"table\":");
    json_append_string(&json, slice_of(definition->name));
    buf_append_text(&json, ",\"op\":\"reset\",\"key\":null,\"row\":null,\"old\":null}");
    buf_append(&json, "", 1);
    sqlite3_str_appendf(sql, ", 'change', '%q:',\n    %Q", definition->name,
                        json.failed ? NULL : json.p);
    buf_fini(&json);
}

static void
put_for_channel(sqlite3_str *sql, const struct track_definition *definition)
{
    put_head(sql, definition);
    sqlite3_str_appendf(sql, "%Q", definition->channel);
    put_columns(sql, definition);
    sqlite3_str_appendall(sql, ";\n");
}

/* On the channels of the existing rows: a reader of another channel has no row. */
static void
put_for_rows(sqlite3_str *sql, const struct track *track)
{
    put_head(sql, &track->definition);
    track_put_channel(sql, track, track->quoted);
    put_columns(sql, &track->definition);
    sqlite3_str_appendf(sql, "\nFROM %s WHERE ", track->quoted);
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ";\n");
}

/* On the channels of the changes that are kept, where the rows cannot be asked any more. */
static void
put_for_events(sqlite3_str *sql, const struct track_definition *definition)
{
    put_head(sql, definition);
    sqlite3_str_appendall(sql, "channel");
    put_columns(sql, definition);
    sqlite3_str_appendf(sql,
                        "\nFROM \"%w\" WHERE event = 'change'"
                        " AND substr(collapse_key, 1, length('%q:')) = '%q:';\n",
                        definition->notification, definition->name, definition->name);
}

void
track_put_reset(sqlite3_str *sql, const struct track_definition *definition,
                const struct track *track)
{
    if (definition->channel != NULL)
        put_for_channel(sql, definition);
    else if (track != NULL)
        put_for_rows(sql, track);
    else
        put_for_events(sql, definition);
}
