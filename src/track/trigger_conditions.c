/* trigger_conditions.c - what triggers ask of a row: whether it is there, was changed, or has gone.
 *
 * Called by track/triggers.c and the files beside it. Values are compared as the key's index
 * does where a row is looked for, and to the byte where it matters whether readers would see
 * another one. */
#include "config.h"

#include "track/triggers.h"

void
trigger_put_collation(sqlite3_str *sql, const struct track_column *column,
                      const char *collation)
{
    if (sqlite3_stricmp(column->collation, collation) != 0)
        sqlite3_str_appendf(sql, " COLLATE \"%w\"", collation);
}

void
trigger_put_same_key(sqlite3_str *sql, const struct track *track, const char *from)
{
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_column *column = &track->table.columns[track->key[i]];
        sqlite3_str_appendall(sql, i == 0 ? "" : " AND ");
        track_put_column(sql, track->quoted, column->name);
        trigger_put_collation(sql, column, track->key_collation[i]);
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
        trigger_put_collation(sql, column, track->key_collation[i]);
        sqlite3_str_appendf(sql, " = rowcast_track_replaced.k%u", (unsigned)i + 1);
    }
    if (!track->key_is_exact) {
        sqlite3_str_appendall(sql, "\n        AND rowcast_track_replaced.\"key\" = ");
        track_put_key(sql, track, track->quoted);
    }
}

void
trigger_put_own_note(sqlite3_str *sql, const struct track *track, const char *from)
{
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_str_appendf(sql, "%sk%u IS ", i == 0 ? "" : " AND ", (unsigned)i + 1);
        track_put_column(sql, from, track->table.columns[track->key[i]].name);
    }
}

void
trigger_put_gone(sqlite3_str *sql, const struct track *track)
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
    trigger_put_collation(sql, column, "BINARY");
    sqlite3_str_appendf(sql, " IS NOT OLD.\"%w\"", name);
    if (column->is_loose)
        sqlite3_str_appendf(sql,
                            " OR typeof(NEW.\"%w\") <> typeof(OLD.\"%w\")"
                            " OR (typeof(NEW.\"%w\") = 'real' AND "
                            "CAST(NEW.\"%w\" AS TEXT) <> CAST(OLD.\"%w\" AS TEXT))",
                            name, name, name, name, name);
}

void
trigger_put_any_changed(sqlite3_str *sql, const struct track *track, const size_t *columns,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : " OR ");
        put_changed(sql, &track->table.columns[columns[i]]);
    }
}

void
trigger_put_moved(sqlite3_str *sql, const struct track *track)
{
    trigger_put_any_changed(sql, track, track->key, track->key_count);
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

void
trigger_put_exists(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendf(sql, "EXISTS (SELECT 1 FROM %s WHERE ", track->quoted);
    trigger_put_same_key(sql, track, from);
    sqlite3_str_appendall(sql, " AND ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ")");
}
