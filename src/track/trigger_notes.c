/* trigger_notes.c - the rows that REPLACE may remove, and the notes that triggers keep of them.
 *
 * Called by track/triggers.c. Why there are notes is said at the head of that file. A note is a
 * row of rowcast_track_replaced: the key of a row of the table, who saw it, and what it was.
 * Which rows may be removed is an over-approximation: those that are equal to NEW in the key,
 * the rowid or a UNIQUE index. */
#include "config.h"

#include "track/triggers.h"

bool
trigger_needs_key(const struct track *track)
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

bool
trigger_needs_notes(const struct track *track)
{
    return trigger_needs_key(track) || has_others(track);
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
        trigger_put_collation(sql, column, part->collation);
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

/* Between two conditions; none before the first, since each but the indexed ones would be a
 * look at all rows. */
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

void
trigger_put_rivals(sqlite3_str *sql, const struct track *track)
{
    size_t count = 0;

    sqlite3_str_appendall(sql, "(");
    if (trigger_needs_key(track)) {
        put_or(sql, &count);
        sqlite3_str_appendall(sql, "(");
        trigger_put_same_key(sql, track, "NEW");
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

void
trigger_put_other_rivals(sqlite3_str *sql, const struct track *track)
{
    trigger_put_rivals(sql, track);
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

void
trigger_put_source(sqlite3_str *sql, const struct track *track)
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

void
trigger_put_note_but_row(sqlite3_str *sql, const struct track *track, const char *from)
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

void
trigger_put_settle(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "    DELETE FROM rowcast_track_replaced WHERE ");
    trigger_put_source(sql, track);
    sqlite3_str_appendall(sql, "\n        AND ");
    trigger_put_gone(sql, track);
    sqlite3_str_appendall(sql, ";\n");
}

void
trigger_put_remove_quiet(sqlite3_str *sql)
{
    sqlite3_str_appendall(sql, "    DELETE FROM rowcast_track_replaced WHERE quiet;\n");
}

void
trigger_put_mark_quiet(sqlite3_str *sql, const struct track *track)
{
    sqlite3_str_appendall(sql, "    UPDATE rowcast_track_replaced SET quiet = 1 WHERE ");
    trigger_put_source(sql, track);
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
    trigger_put_same_key(sql, track, "NEW");
    sqlite3_str_appendall(sql, ")");
}

void
trigger_put_refresh(sqlite3_str *sql, const struct track *track, const char *from)
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
    trigger_put_exists(sql, track, "NEW");
    sqlite3_str_appendall(sql, "\n    WHERE ");
    trigger_put_source(sql, track);
    sqlite3_str_appendall(sql, " AND ");
    trigger_put_own_note(sql, track, from);
    sqlite3_str_appendall(sql, ";\n");
    trigger_put_remove_quiet(sql);
}
