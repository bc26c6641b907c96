/* trigger_events.c - the statements of triggers that make a row of the table of notifications.
 *
 * Called by track/triggers.c. The JSON is that of track/expression.c, so that an event and the
 * state have the same bytes for a row. An event has the row as it is in the table. */
#include "config.h"

#include "track/triggers.h"

#include "base/json.h"

void
trigger_put_event_head(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(
        sql, "    INSERT INTO \"%w\"(channel, recipient, event, collapse_key, data)\n",
        track->definition.notification);
}

void
trigger_put_collapse_key(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "'%q:' || ", track->definition.name);
}

void
trigger_put_data_head(sqlite3_str *sql, const struct track *track, const char *op)
{
    struct buf json = {0};

    buf_append_text(&json, "{\"table\":");
    json_append_string(&json, slice_of(track->definition.name));
    buf_printf(&json, ",\"op\":\"%s\",\"key\":", op);
    buf_append(&json, "", 1);
    sqlite3_str_appendf(sql, "%Q || ", json.failed ? NULL : json.p);
    buf_fini(&json);
}

/* The data of an event for the row in the table: an expression over its columns. */
static void
put_row_data(sqlite3_str *sql, const struct track *track, const char *op, const char *old)
{
    trigger_put_data_head(sql, track, op);
    track_put_key(sql, track, track->quoted);
    sqlite3_str_appendall(sql, "\n        || ',\"row\":' || ");
    track_put_row(sql, track, track->quoted);
    sqlite3_str_appendall(sql, "\n        || ',\"old\":");
    if (old == NULL) {
        sqlite3_str_appendall(sql, "null}'");
        return;
    }
    sqlite3_str_appendall(sql, "' || ");
    track_put_row(sql, track, old);
    sqlite3_str_appendall(sql, " || '}'");
}

static void
put_from_row(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendf(sql, "\n        FROM %s WHERE ", track->quoted);
    trigger_put_same_key(sql, track, from);
}

/* A value of the row in the table, as a subquery where it is not the same for all rows. */
static void
put_of_row(sqlite3_str *sql, const struct track *track, int column,
           void (*put)(sqlite3_str *, const struct track *, const char *))
{
    sqlite3_str_appendall(sql, column >= 0 ? "(SELECT " : "");
    put(sql, track, track->quoted);
    if (column >= 0) {
        put_from_row(sql, track, "NEW");
        sqlite3_str_appendall(sql, ")");
    }
}

void
trigger_put_tell_row(sqlite3_str *sql, const struct track *track, const char *op,
                     const char *old)
{
    trigger_put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (");
    put_of_row(sql, track, track->channel_column, track_put_channel);
    sqlite3_str_appendall(sql, ", ");
    put_of_row(sql, track, track->recipient_column, track_put_recipient);
    sqlite3_str_appendall(sql, ", 'change',\n        (SELECT ");
    trigger_put_collapse_key(sql, track);
    track_put_key(sql, track, track->quoted);
    put_from_row(sql, track, "NEW");
    sqlite3_str_appendall(sql, "),\n        (SELECT ");
    put_row_data(sql, track, op, old);
    put_from_row(sql, track, "NEW");
    sqlite3_str_appendall(sql, "));\n");
}

void
trigger_put_tell_row_if(sqlite3_str *sql, const struct track *track, const char *from)
{
    trigger_put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    SELECT ");
    track_put_channel(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", 'change',\n        ");
    trigger_put_collapse_key(sql, track);
    track_put_key(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ",\n        ");
    put_row_data(sql, track, "insert", NULL);
    put_from_row(sql, track, from);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ";\n");
}
