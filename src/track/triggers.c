/* triggers.c - the triggers that turn changes of a table into rows of the table of notifications.
 *
 * Called by track/apply.c to make them and by track/compare.c to see whether those that are there
 * are these. Four rules are behind their form:
 *
* - An event has the row as it now is in the table, not NEW: other triggers may have
 *   changed it since, and will make no event again. So whatever order triggers run in, the
 *   last event is right.
 * - REPLACE removes other rows without a delete trigger (unless recursive_triggers is on), at
 *   a moment between BEFORE and AFTER. So BEFORE notes the rows that may go
 *   (rowcast_track_replaced), AFTER reports those that are gone. A note that was for nothing
 *   (OR IGNORE, UPSERT) may stay: whatever changes its row brings it up to date. It must not
 *   be removed then, as between BEFORE and AFTER the row may be changed, by a cascade or
 *   another BEFORE trigger, and be replaced only after that.
 * - First come events for readers who no longer see a row, then for those who see it: a reader
 *   may be both.
 * - No statement here can fail, whatever conflict clause the application's statement hands
 *   down to it (sqlite.org/lang_createtrigger.html). The usual ones insert by VALUES: for
 *   INSERT ... SELECT into a table with triggers SQLite makes a temporary table each time,
 *   which costs more than all the rest.
 *
 * A trigger on rowcast_track_replaced names no table of the application's: while such a table
 * is being rebuilt and is not there, ALTER TABLE would fail on that trigger. */
#include "config.h"

#include "track/triggers.h"

/* Notes of earlier statements that may stay. More than one statement is at work only where a
 * BEFORE trigger of the application's changes the same table. */
#define NOTES_KEPT 8

enum {
    INSERT,
    UPDATE,
    MOVED,
    DELETE,
    RETURNED,
    REPLACED,
    BEFORE_INSERT,
    BEFORE_UPDATE,
    AFTER_INSERT,
    AFTER_UPDATE
};

/* No underscore in them, so that no two tables can have a trigger of one name. */
static const char *const suffixes[TRACK_TRIGGERS] = {
    [INSERT] = "insert",
    [UPDATE] = "update",
    [MOVED] = "moved",
    [DELETE] = "delete",
    [RETURNED] = "returned",
    [REPLACED] = "replaced",
    [BEFORE_INSERT] = "beforeinsert",
    [BEFORE_UPDATE] = "beforeupdate",
    [AFTER_INSERT] = "afterinsert",
    [AFTER_UPDATE] = "afterupdate",
};

char *
track_trigger_name(const char *table, size_t at)
{
    return sqlite3_mprintf("rowcast_track_%s_%s", table, suffixes[at]);
}

static void
put_insert(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER INSERT ON %s\nWHEN ", track->quoted);
    trigger_put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    if (trigger_needs_key(
            track)) { /* those who saw the row that this one replaces come first */
        trigger_put_settle(sql, track);
        trigger_put_refresh(sql, track, "NEW");
    }
    trigger_put_tell_row(sql, track, "insert", NULL);
}

static void
put_update(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER UPDATE ON %s\nWHEN NOT (", track->quoted);
    trigger_put_moved(sql, track);
    sqlite3_str_appendall(sql, ")\n    AND (");
    trigger_put_any_changed(sql, track, track->columns, track->column_count);
    sqlite3_str_appendall(sql, ")\n    AND ");
    trigger_put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    trigger_put_tell_row(sql, track, "update", "OLD");
}

/* FROM and WHERE of the row that has the key of OLD, to the byte. */
static void
put_at_old_key(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "(SELECT 1 FROM %s WHERE ", track->quoted);
    trigger_put_same_key(sql, track, "OLD");
    if (!track->key_is_exact) {
        sqlite3_str_appendall(sql, "\n        AND ");
        track_put_key(sql, track, track->quoted);
        sqlite3_str_appendall(sql, " = ");
        track_put_key(sql, track, "OLD");
    }
}

/* Whether those who saw OLD have a row of its key still. */
static void
put_still_there(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "EXISTS ");
    put_at_old_key(sql, track);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    if (track->channel_column >= 0) {
        sqlite3_str_appendall(sql, " AND ");
        track_put_channel(sql, track, "OLD");
        sqlite3_str_appendall(sql, " COLLATE BINARY IS ");
        track_put_channel(sql, track, track->quoted);
    }
    if (track->recipient_column >= 0) {
        sqlite3_str_appendall(sql, " AND ");
        track_put_recipient(sql, track, "OLD");
        sqlite3_str_appendall(sql, " COLLATE BINARY IS ");
        track_put_recipient(sql, track, track->quoted);
    }
    sqlite3_str_appendall(sql, ")");
}

/* Of a row that has gone from where it was (OLD) and may be at the key of `now`. Where it is
 * there for others, those who no longer see it do not get what it was. */
static void
put_leave_and_enter(sqlite3_str *sql, const struct track *track, const char *now)
{
    trigger_put_note_but_row(sql, track, "OLD");
    sqlite3_str_appendall(sql, "CASE WHEN EXISTS ");
    put_at_old_key(sql, track);
    sqlite3_str_appendall(sql, ") THEN 'null' ELSE ");
    track_put_row(sql, track, "OLD");
    sqlite3_str_appendall(sql, " END\n    WHERE ");
    track_put_visible(sql, track, "OLD");
    sqlite3_str_appendall(sql, " AND NOT ");
    put_still_there(sql, track);
    sqlite3_str_appendall(sql, ";\n");
    trigger_put_settle(sql, track);
    trigger_put_tell_row_if(sql, track, now);
}

static void
put_moved_trigger(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER UPDATE ON %s\nWHEN ", track->quoted);
    trigger_put_moved(sql, track);
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    if (trigger_needs_notes(track))
        trigger_put_refresh(sql, track, "OLD");
    put_leave_and_enter(sql, track, "NEW");
}

/* Whether the key of a row that was deleted has a row again, which another trigger has made. */
static void
put_returned(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "EXISTS (SELECT 1 FROM %s WHERE ", track->quoted);
    trigger_put_same_key(sql, track, "OLD");
    sqlite3_str_appendall(sql, ")");
}

static void
put_delete(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER DELETE ON %s\nWHEN ", track->quoted);
    track_put_visible(sql, track, "OLD");
    sqlite3_str_appendall(sql, " AND NOT ");
    put_returned(sql, track);
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    if (trigger_needs_notes(track)) {
        trigger_put_mark_quiet(sql, track);
        trigger_put_own_note(sql, track, "OLD");
        sqlite3_str_appendall(sql, ";\n");
        trigger_put_remove_quiet(sql);
    }
    trigger_put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (");
    track_put_channel(sql, track, "OLD");
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, "OLD");
    sqlite3_str_appendall(sql, ", 'change',\n        ");
    trigger_put_collapse_key(sql, track);
    track_put_key(sql, track, "OLD");
    sqlite3_str_appendall(sql, ",\n        ");
    trigger_put_data_head(sql, track, "delete");
    track_put_key(sql, track, "OLD");
    sqlite3_str_appendall(sql, "\n        || ',\"row\":null,\"old\":' || ");
    track_put_row(sql, track, "OLD");
    sqlite3_str_appendall(sql, " || '}');\n");
}

static void
put_returned_trigger(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER DELETE ON %s\nWHEN ", track->quoted);
    put_returned(sql, track);
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    put_leave_and_enter(sql, track, "OLD");
}

/* Makes the event for a deleted row, from its note. Of two notes the later one counts. */
static void
put_replaced(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(
        sql,
        "AFTER DELETE ON rowcast_track_replaced\n"
        "WHEN OLD.source = %Q AND NOT OLD.quiet\n"
        "    AND NOT EXISTS (SELECT 1 FROM rowcast_track_replaced AS later "
        "WHERE later.source = OLD.source\n"
        "        AND later.\"key\" = OLD.\"key\" AND later.rowid > OLD.rowid)\n"
        "BEGIN\n",
        track->definition.name);
    trigger_put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (OLD.channel, OLD.recipient, 'change', ");
    trigger_put_collapse_key(sql, track);
    sqlite3_str_appendall(sql, "OLD.\"key\",\n        ");
    trigger_put_data_head(sql, track, "delete");
    sqlite3_str_appendall(
        sql, "OLD.\"key\" || ',\"row\":null,\"old\":' || OLD.\"row\" || '}');\n");
}

/* Those that a later one of the same row stands for, and all but the newest few. */
static void
put_drop_old_notes(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(
        sql, "    DELETE FROM rowcast_track_replaced WHERE EXISTS (SELECT 1 "
             "FROM rowcast_track_replaced AS later\n        WHERE later.source = "
             "rowcast_track_replaced.source AND later.\"key\" = "
             "rowcast_track_replaced.\"key\"\n        AND later.rowid > "
             "rowcast_track_replaced.rowid);\n"
             "    UPDATE rowcast_track_replaced SET quiet = rowid <= ");
    sqlite3_str_appendf(sql, "(SELECT max(rowid) - %d FROM rowcast_track_replaced) WHERE ",
                        NOTES_KEPT);
    trigger_put_source(sql, track);
    sqlite3_str_appendall(sql, ";\n");
    trigger_put_remove_quiet(sql);
}

/* The INSERT comes first: behind a statement of the same trigger that reads the notes SQLite
 * would make a temporary table for it. */
static void
put_before(sqlite3_str *sql, const struct track *track, const char *event,
           void (*put_condition)(sqlite3_str *, const struct track *))
{
    sqlite3_str_appendf(sql, "BEFORE %s ON %s\nWHEN EXISTS (SELECT 1 FROM %s WHERE ", event,
                        track->quoted, track->quoted);
    put_condition(sql, track);
    sqlite3_str_appendall(sql, ")\nBEGIN\n");
    trigger_put_note_but_row(sql, track, track->quoted);
    track_put_row(sql, track, track->quoted);
    sqlite3_str_appendf(sql, "\n    FROM %s WHERE ", track->quoted);
    put_condition(sql, track);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ";\n");
    put_drop_old_notes(sql, track);
}

static void
put_before_insert(sqlite3_str *sql, const struct track *track)
{
    put_before(sql, track, "INSERT", trigger_put_rivals);
}

static void
put_before_update(sqlite3_str *sql, const struct track *track)
{
    put_before(sql, track, "UPDATE", trigger_put_other_rivals);
}

static void
put_after_head(sqlite3_str *sql, const struct track *track, const char *event)
{
    sqlite3_str_appendf(
        sql, "AFTER %s ON %s\nWHEN EXISTS (SELECT 1 FROM rowcast_track_replaced WHERE ",
        event, track->quoted);
    trigger_put_source(sql, track);
    sqlite3_str_appendall(sql, ")\nBEGIN\n");
}

static void
put_after_insert(sqlite3_str *sql, const struct track *track)
{
    put_after_head(sql, track, "INSERT");
    trigger_put_settle(sql, track);
    trigger_put_refresh(sql, track, "NEW");
}

/* The notes of the row itself move with it; then those of rows that it has replaced are
 * settled, one of which may have had its new key. */
static void
put_after_update(sqlite3_str *sql, const struct track *track)
{
    put_after_head(sql, track, "UPDATE");
    trigger_put_refresh(sql, track, "OLD");
    trigger_put_settle(sql, track);
    trigger_put_refresh(sql, track, "NEW");
}

char *
track_trigger_text(const struct track *track, size_t at, bool *needed)
{
    static void (*const put[TRACK_TRIGGERS])(sqlite3_str *, const struct track *) = {
        [INSERT] = put_insert,
        [UPDATE] = put_update,
        [MOVED] = put_moved_trigger,
        [DELETE] = put_delete,
        [RETURNED] = put_returned_trigger,
        [REPLACED] = put_replaced,
        [BEFORE_INSERT] = put_before_insert,
        [BEFORE_UPDATE] = put_before_update,
        [AFTER_INSERT] = put_after_insert,
        [AFTER_UPDATE] = put_after_update,
    };
    sqlite3_str *sql = sqlite3_str_new(NULL);

    *needed = at < BEFORE_INSERT || trigger_needs_notes(track);
    if (*needed) {
        sqlite3_str_appendf(sql, "CREATE TRIGGER \"rowcast_track_%w_%s\" ",
                            track->definition.name, suffixes[at]);
        put[at](sql, track);
        sqlite3_str_appendall(sql, "END");
    }
    if (sqlite3_str_errcode(sql) != SQLITE_OK) {
        sqlite3_free(sqlite3_str_finish(sql));
        return NULL;
    }
    char *text = sqlite3_str_finish(sql);
    return text != NULL ? text : sqlite3_mprintf("%s", "");
}
