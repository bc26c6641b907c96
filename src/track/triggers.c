/* triggers.c - the triggers that turn changes of a table into rows of the table of notifications.
 *
 * Called by track/apply.c to make them and by track/compare.c to see whether those that are there
 * are these. Four rules are behind their form:
 *
 * - What is told is the row as it now is in the table, not NEW: other triggers may have changed it
 *   since, and will not be told of again. So whatever order triggers run in, the last event is right.
 * - REPLACE removes other rows without a delete trigger (unless recursive_triggers is on), at a moment
 *   between BEFORE and AFTER. So BEFORE notes the rows that may go (rowcast_track_replaced), AFTER tells
 *   of those that are gone. A note that was for nothing (OR IGNORE, UPSERT) may stay: whatever changes
 *   its row brings it up to date. It must not be removed then, as between BEFORE and AFTER the row may be
 *   changed, by a cascade or another BEFORE trigger, and be replaced only after that.
 * - First those are told who no longer see a row, then those who see it: a reader may be both.
 * - No statement here can fail, whatever conflict clause the application's statement hands down to it
 *   (sqlite.org/lang_createtrigger.html). The usual ones insert by VALUES: for INSERT ... SELECT into a
 *   table with triggers SQLite makes a temporary table each time, which costs more than all the rest.
 *
 * A trigger on rowcast_track_replaced names no table of the application's: while such a table is being
 * rebuilt and is not there, ALTER TABLE would fail on that trigger. */
#include "config.h"

#include "track/internal.h"

#include <string.h>

#include "base/json.h"

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

/* --- conditions --------------------------------------------------------------------------------- */

/* By which values are equal in the key, where that is not what the column itself says. */
static void
put_collation(sqlite3_str *sql, const struct track_column *column, const char *collation)
{
    if (sqlite3_stricmp(column->collation, collation) != 0)
        sqlite3_str_appendf(sql, " COLLATE \"%w\"", collation);
}

/* The row of the table with the key of OLD or NEW. */
static void
put_same_key(sqlite3_str *sql, const struct track *track, const char *from)
{
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_column *column = &track->table.columns[track->key[i]];
        sqlite3_str_appendall(sql, i == 0 ? "" : " AND ");
        track_put_column(sql, track->quoted, column->name);
        put_collation(sql, column, track->key_collation[i]);
        sqlite3_str_appendall(sql, " = ");
        track_put_column(sql, from, column->name);
    }
}

/* The row of the table with the key of a note, to the byte. */
static void
put_noted_key(sqlite3_str *sql, const struct track *track)
{
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_column *column = &track->table.columns[track->key[i]];
        sqlite3_str_appendall(sql, i == 0 ? "" : " AND ");
        track_put_column(sql, track->quoted, column->name);
        put_collation(sql, column, track->key_collation[i]);
        sqlite3_str_appendf(sql, " = rowcast_track_replaced.k%u", (unsigned)i + 1);
    }
    if (!track->key_is_exact) {
        sqlite3_str_appendall(sql, "\n        AND rowcast_track_replaced.\"key\" = ");
        track_put_key(sql, track, track->quoted);
    }
}

/* A note of the row of OLD or NEW. */
static void
put_own_note(sqlite3_str *sql, const struct track *track, const char *from)
{
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_str_appendf(sql, "%sk%u IS ", i == 0 ? "" : " AND ", (unsigned)i + 1);
        track_put_column(sql, from, track->table.columns[track->key[i]].name);
    }
}

/* A note whose row is no longer there for those who saw it. The note's column stands at the left, since the
 * left side says how texts are compared. */
static void
put_gone(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "NOT EXISTS (SELECT 1 FROM %s WHERE ", track->quoted);
    put_noted_key(sql, track);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    if (track->channel_column >= 0) {
        sqlite3_str_appendall(sql, " AND rowcast_track_replaced.channel IS ");
        track_put_channel(sql, track, track->quoted);
    }
    if (track->recipient_column >= 0) {
        sqlite3_str_appendall(sql, " AND rowcast_track_replaced.recipient IS ");
        track_put_recipient(sql, track, track->quoted);
    }
    sqlite3_str_appendall(sql, ")");
}

/* Whether a column has changed, to the byte: 'a' and 'A' may be equal, so may 1 and 1.0. */
static void
put_changed(sqlite3_str *sql, const struct track_column *column)
{
    const char *name = column->name;

    sqlite3_str_appendf(sql, "NEW.\"%w\"", name);
    put_collation(sql, column, "BINARY");
    sqlite3_str_appendf(sql, " IS NOT OLD.\"%w\"", name);
    if (column->is_loose)
        sqlite3_str_appendf(sql,
                            " OR typeof(NEW.\"%w\") <> typeof(OLD.\"%w\")"
                            " OR (typeof(NEW.\"%w\") = 'real' AND "
                            "CAST(NEW.\"%w\" AS TEXT) <> CAST(OLD.\"%w\" AS TEXT))",
                            name, name, name, name, name);
}

static void
put_any_changed(sqlite3_str *sql, const struct track *track, const size_t *columns,
                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : " OR ");
        put_changed(sql, &track->table.columns[columns[i]]);
    }
}

/* Whether an UPDATE gives the row another key or other readers. */
static void
put_moved(sqlite3_str *sql, const struct track *track)
{
    put_any_changed(sql, track, track->key, track->key_count);
    if (track->channel_column >= 0) {
        sqlite3_str_appendall(sql, " OR ");
        put_changed(sql, &track->table.columns[track->channel_column]);
    }
    if (track->recipient_column >= 0) {
        sqlite3_str_appendall(sql, " OR ");
        put_changed(sql, &track->table.columns[track->recipient_column]);
    }
    if (track->definition.where != NULL) {
        sqlite3_str_appendall(sql, "\n    OR ");
        track_put_where(sql, track, "NEW");
        sqlite3_str_appendall(sql, " IS NOT ");
        track_put_where(sql, track, "OLD");
    }
}

static void
put_exists(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendf(sql, "EXISTS (SELECT 1 FROM %s WHERE ", track->quoted);
    put_same_key(sql, track, from);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ")");
}

/* --- rows that REPLACE may remove ---------------------------------------------------------------- */

static bool
needs_key(const struct track *track)
{
    return !track_is_for_all(track) || !track->key_is_exact;
}

static bool
is_other(const struct track *track, const struct track_unique *unique)
{
    return unique != track->key_index;
}

static bool
has_others(const struct track *track)
{
    for (size_t i = 0; i < track->table.unique_count; i++)
        if (is_other(track, &track->table.uniques[i]))
            return true;
    for (size_t i = 0; i < track->table.count; i++)
        if (track->table.columns[i].is_rowid && track->key_index != NULL)
            return true;
    return track->table.has_hidden_rowid;
}

static bool
needs_notes(const struct track *track)
{
    return needs_key(track) || has_others(track);
}

/* What NEW will have there: where it is NULL and may not be, REPLACE puts the default in
 * (sqlite.org/lang_conflict.html). */
static void
put_new_value(sqlite3_str *sql, const struct track_column *column)
{
    bool has_other = column->not_null && column->fallback != NULL;

    sqlite3_str_appendall(sql, has_other ? "coalesce(" : "");
    track_put_column(sql, "NEW", column->name);
    if (has_other)
        sqlite3_str_appendf(sql, ", (%s))", column->fallback);
}

static void
put_equal_part(sqlite3_str *sql, const struct track *track,
               const struct track_unique *unique, const struct track_part *part)
{
    if (part->column >= 0) {
        const struct track_column *column = &track->table.columns[part->column];
        track_put_column(sql, track->quoted, column->name);
        put_collation(sql, column, part->collation);
        sqlite3_str_appendall(sql, " = ");
        put_new_value(sql, column);
        return;
    }
    sqlite3_str_appendf(sql, "(%s) COLLATE \"%w\" = (SELECT %s FROM ", part->text,
                        part->collation, part->text);
    track_put_as_table(sql, track, "NEW");
    if (unique->where != NULL) /* elsewhere the expression may fail */
        sqlite3_str_appendf(sql, " WHERE %s", unique->where);
    sqlite3_str_appendall(sql, ")");
}

static void
put_equal_in(sqlite3_str *sql, const struct track *track, const struct track_unique *unique)
{
    sqlite3_str_appendall(sql, "(");
    if (unique->where != NULL)
        sqlite3_str_appendf(sql, "(%s) AND ", unique->where);
    for (size_t i = 0; i < unique->count; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : " AND ");
        put_equal_part(sql, track, unique, &unique->parts[i]);
    }
    sqlite3_str_appendall(sql, ")");
}

/* Between two conditions; none before the first, since each but the indexed ones would be a look at all
 * rows. */
static void
put_or(sqlite3_str *sql, size_t *count)
{
    sqlite3_str_appendall(sql, (*count)++ == 0 ? "" : "\n        OR ");
}

static void
put_equal_rowid(sqlite3_str *sql, const struct track *track, size_t *count)
{
    for (size_t i = 0; i < track->table.count; i++)
        if (track->table.columns[i].is_rowid && track->key_index != NULL) {
            put_or(sql, count);
            sqlite3_str_appendf(sql, "%s.\"%w\" = NEW.\"%w\"", track->quoted,
                                track->table.columns[i].name, track->table.columns[i].name);
        }
    if (track->table.has_hidden_rowid) {
        put_or(sql, count);
        sqlite3_str_appendf(sql, "%s._rowid_ = NEW._rowid_", track->quoted);
    }
}

/* The rows that cannot be beside NEW. */
static void
put_rivals(sqlite3_str *sql, const struct track *track)
{
    size_t count = 0;

    sqlite3_str_appendall(sql, "(");
    if (needs_key(track)) {
        put_or(sql, &count);
        sqlite3_str_appendall(sql, "(");
        put_same_key(sql, track, "NEW");
        sqlite3_str_appendall(sql, ")");
    }
    for (size_t i = 0; i < track->table.unique_count; i++)
        if (is_other(track, &track->table.uniques[i])) {
            put_or(sql, &count);
            put_equal_in(sql, track, &track->table.uniques[i]);
        }
    put_equal_rowid(sql, track, &count);
    sqlite3_str_appendall(sql, ")");
}

/* Rivals of a row that is updated; it is none itself. */
static void
put_other_rivals(sqlite3_str *sql, const struct track *track)
{
    put_rivals(sql, track);
    sqlite3_str_appendall(sql, " AND NOT (");
    for (size_t i = 0; i < track->key_count; i++) {
        const char *name = track->table.columns[track->key[i]].name;
        sqlite3_str_appendall(sql, i == 0 ? "" : " AND ");
        track_put_column(sql, track->quoted, name);
        sqlite3_str_appendall(sql, " IS ");
        track_put_column(sql, "OLD", name);
    }
    sqlite3_str_appendall(sql, ")");
}

/* --- statements --------------------------------------------------------------------------------- */

static void
put_source(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "source = %Q", track->definition.name);
}

static void
put_note_head(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "    INSERT INTO rowcast_track_replaced(source");
    for (size_t i = 0; i < track->key_count; i++)
        sqlite3_str_appendf(sql, ", k%u", (unsigned)i + 1);
    sqlite3_str_appendf(sql,
                        ", quiet, channel, recipient, \"key\", \"row\")\n    SELECT %Q, ",
                        track->definition.name);
}

/* All but the last column, the row. */
static void
put_note_but_row(sqlite3_str *sql, const struct track *track, const char *from)
{
    put_note_head(sql, track);
    for (size_t i = 0; i < track->key_count; i++) {
        track_put_column(sql, from, track->table.columns[track->key[i]].name);
        sqlite3_str_appendall(sql, ", ");
    }
    sqlite3_str_appendall(sql, "0, ");
    track_put_channel(sql, track, from);
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, from);
    sqlite3_str_appendall(sql, ",\n        ");
    track_put_key(sql, track, from);
    sqlite3_str_appendall(sql, ",\n        ");
}

/* Removes the notes of rows that are gone; the trigger on that tells. (An UPDATE of a table with triggers
 * would make a temporary table each time, as INSERT ... SELECT does; neither does a DELETE.) */
static void
put_settle(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "    DELETE FROM rowcast_track_replaced WHERE ");
    put_source(sql, track);
    sqlite3_str_appendall(sql, "\n        AND ");
    put_gone(sql, track);
    sqlite3_str_appendall(sql, ";\n");
}

/* Removes what is marked as quiet; nothing is told. */
static void
put_remove_quiet(sqlite3_str *sql)
{
    sqlite3_str_appendall(sql, "    DELETE FROM rowcast_track_replaced WHERE quiet;\n");
}

/* Marks notes; what follows says which. */
static void
put_mark_quiet(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "    UPDATE rowcast_track_replaced SET quiet = 1 WHERE ");
    put_source(sql, track);
    sqlite3_str_appendall(sql, " AND ");
}

/* A value of the row in the table that has the key of NEW. */
static void
put_now(sqlite3_str *sql, const struct track *track, const char *name,
        void (*put)(sqlite3_str *, const struct track *, const char *))
{
    sqlite3_str_appendf(sql, ", %s = (SELECT ", name);
    put(sql, track, track->quoted);
    sqlite3_str_appendf(sql, "\n        FROM %s WHERE ", track->quoted);
    put_same_key(sql, track, "NEW");
    sqlite3_str_appendall(sql, ")");
}

/* Brings the notes of a row that is now at the key of NEW, and was at that of `from`, up to date. */
static void
put_refresh(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendall(sql, "    UPDATE rowcast_track_replaced SET ");
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_str_appendf(sql, "%sk%u = ", i == 0 ? "" : ", ", (unsigned)i + 1);
        track_put_column(sql, "NEW", track->table.columns[track->key[i]].name);
    }
    put_now(sql, track, "channel", track_put_channel);
    put_now(sql, track, "recipient", track_put_recipient);
    put_now(sql, track, "\"key\"", track_put_key);
    put_now(sql, track, "\"row\"", track_put_row);
    sqlite3_str_appendall(sql, ",\n        quiet = NOT ");
    put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\n    WHERE ");
    put_source(sql, track);
    sqlite3_str_appendall(sql, " AND ");
    put_own_note(sql, track, from);
    sqlite3_str_appendall(sql, ";\n");
    put_remove_quiet(sql);
}

static void
put_event_head(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(
        sql, "    INSERT INTO \"%w\"(channel, recipient, event, collapse_key, data)\n",
        track->definition.notification);
}

/* 'orders:' || what follows */
static void
put_collapse_key(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "'%q:' || ", track->definition.name);
}

/* '{"table":"orders","op":"OP","key":' || what follows */
static void
put_data_head(sqlite3_str *sql, const struct track *track, const char *op)
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
    put_data_head(sql, track, op);
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
    put_same_key(sql, track, from);
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

/* Tells of the row in the table that has the key of NEW; the trigger's WHEN says that it is there. */
static void
put_tell_row(sqlite3_str *sql, const struct track *track, const char *op, const char *old)
{
    put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (");
    put_of_row(sql, track, track->channel_column, track_put_channel);
    sqlite3_str_appendall(sql, ", ");
    put_of_row(sql, track, track->recipient_column, track_put_recipient);
    sqlite3_str_appendall(sql, ", 'change',\n        (SELECT ");
    put_collapse_key(sql, track);
    track_put_key(sql, track, track->quoted);
    put_from_row(sql, track, "NEW");
    sqlite3_str_appendall(sql, "),\n        (SELECT ");
    put_row_data(sql, track, op, old);
    put_from_row(sql, track, "NEW");
    sqlite3_str_appendall(sql, "));\n");
}

/* The same where the row may not be there, or nobody may see it. */
static void
put_tell_row_if(sqlite3_str *sql, const struct track *track, const char *from)
{
    put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    SELECT ");
    track_put_channel(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", 'change',\n        ");
    put_collapse_key(sql, track);
    track_put_key(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ",\n        ");
    put_row_data(sql, track, "insert", NULL);
    put_from_row(sql, track, from);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ";\n");
}

/* --- the triggers ------------------------------------------------------------------------------- */

static void
put_insert(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER INSERT ON %s\nWHEN ", track->quoted);
    put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    if (needs_key(track)) { /* those who saw the row that this one replaces come first */
        put_settle(sql, track);
        put_refresh(sql, track, "NEW");
    }
    put_tell_row(sql, track, "insert", NULL);
}

static void
put_update(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER UPDATE ON %s\nWHEN NOT (", track->quoted);
    put_moved(sql, track);
    sqlite3_str_appendall(sql, ")\n    AND (");
    put_any_changed(sql, track, track->columns, track->column_count);
    sqlite3_str_appendall(sql, ")\n    AND ");
    put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    put_tell_row(sql, track, "update", "OLD");
}

/* FROM and WHERE of the row that has the key of OLD, to the byte. */
static void
put_at_old_key(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "(SELECT 1 FROM %s WHERE ", track->quoted);
    put_same_key(sql, track, "OLD");
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

/* Of a row that has gone from where it was (OLD) and may be at the key of `now`. Where it is there for
 * others, those who no longer see it are not told what it was. */
static void
put_leave_and_enter(sqlite3_str *sql, const struct track *track, const char *now)
{
    put_note_but_row(sql, track, "OLD");
    sqlite3_str_appendall(sql, "CASE WHEN EXISTS ");
    put_at_old_key(sql, track);
    sqlite3_str_appendall(sql, ") THEN 'null' ELSE ");
    track_put_row(sql, track, "OLD");
    sqlite3_str_appendall(sql, " END\n    WHERE ");
    track_put_visible(sql, track, "OLD");
    sqlite3_str_appendall(sql, " AND NOT ");
    put_still_there(sql, track);
    sqlite3_str_appendall(sql, ";\n");
    put_settle(sql, track);
    put_tell_row_if(sql, track, now);
}

static void
put_moved_trigger(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "AFTER UPDATE ON %s\nWHEN ", track->quoted);
    put_moved(sql, track);
    sqlite3_str_appendall(sql, "\nBEGIN\n");
    if (needs_notes(track))
        put_refresh(sql, track, "OLD");
    put_leave_and_enter(sql, track, "NEW");
}

/* Whether the key of a row that was deleted has a row again, which another trigger has made. */
static void
put_returned(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendf(sql, "EXISTS (SELECT 1 FROM %s WHERE ", track->quoted);
    put_same_key(sql, track, "OLD");
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
    if (needs_notes(track)) {
        put_mark_quiet(sql, track);
        put_own_note(sql, track, "OLD");
        sqlite3_str_appendall(sql, ";\n");
        put_remove_quiet(sql);
    }
    put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (");
    track_put_channel(sql, track, "OLD");
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, "OLD");
    sqlite3_str_appendall(sql, ", 'change',\n        ");
    put_collapse_key(sql, track);
    track_put_key(sql, track, "OLD");
    sqlite3_str_appendall(sql, ",\n        ");
    put_data_head(sql, track, "delete");
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

/* Tells of a row that is gone, by its note. Of two notes the later one counts. */
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
    put_event_head(sql, track);
    sqlite3_str_appendall(sql, "    VALUES (OLD.channel, OLD.recipient, 'change', ");
    put_collapse_key(sql, track);
    sqlite3_str_appendall(sql, "OLD.\"key\",\n        ");
    put_data_head(sql, track, "delete");
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
    put_source(sql, track);
    sqlite3_str_appendall(sql, ";\n");
    put_remove_quiet(sql);
}

/* The INSERT comes first: behind a statement of the same trigger that reads the notes SQLite would make a
 * temporary table for it. */
static void
put_before(sqlite3_str *sql, const struct track *track, const char *event,
           void (*put_condition)(sqlite3_str *, const struct track *))
{
    sqlite3_str_appendf(sql, "BEFORE %s ON %s\nWHEN EXISTS (SELECT 1 FROM %s WHERE ", event,
                        track->quoted, track->quoted);
    put_condition(sql, track);
    sqlite3_str_appendall(sql, ")\nBEGIN\n");
    put_note_but_row(sql, track, track->quoted);
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
    put_before(sql, track, "INSERT", put_rivals);
}

static void
put_before_update(sqlite3_str *sql, const struct track *track)
{
    put_before(sql, track, "UPDATE", put_other_rivals);
}

static void
put_after_head(sqlite3_str *sql, const struct track *track, const char *event)
{
    sqlite3_str_appendf(
        sql, "AFTER %s ON %s\nWHEN EXISTS (SELECT 1 FROM rowcast_track_replaced WHERE ",
        event, track->quoted);
    put_source(sql, track);
    sqlite3_str_appendall(sql, ")\nBEGIN\n");
}

static void
put_after_insert(sqlite3_str *sql, const struct track *track)
{
    put_after_head(sql, track, "INSERT");
    put_settle(sql, track);
    put_refresh(sql, track, "NEW");
}

/* The notes of the row itself move with it; then those of rows that it has replaced are settled, one of
 * which may have had its new key. */
static void
put_after_update(sqlite3_str *sql, const struct track *track)
{
    put_after_head(sql, track, "UPDATE");
    put_refresh(sql, track, "OLD");
    put_settle(sql, track);
    put_refresh(sql, track, "NEW");
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

    *needed = at < BEFORE_INSERT || needs_notes(track);
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
