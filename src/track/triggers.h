/* triggers.h - pieces of SQL that the triggers of a tracked table are put together from; for
 * track/triggers.c and the files beside it alone. `from` is as in track/internal.h. */
#ifndef ROWCAST_TRACK_TRIGGERS_H
#define ROWCAST_TRACK_TRIGGERS_H

#include "track/internal.h"

/* --- trigger_conditions.c --- */

/* By which values are equal in the key, where that is not what the column itself says. */
void trigger_put_collation(sqlite3_str *sql, const struct track_column *column,
                           const char *collation);

/* The row of the table with the key of OLD or NEW. */
void trigger_put_same_key(sqlite3_str *sql, const struct track *track, const char *from);

/* A note of the row of OLD or NEW. */
void trigger_put_own_note(sqlite3_str *sql, const struct track *track, const char *from);

/* A note whose row is no longer there for those who saw it. The note's column stands at the
 * left, since the left side says how texts are compared. */
void trigger_put_gone(sqlite3_str *sql, const struct track *track);

/* Whether one of these columns has changed, to the byte. */
void trigger_put_any_changed(sqlite3_str *sql, const struct track *track,
                             const size_t *columns, size_t count);

/* Whether an UPDATE gives the row another key or other readers. */
void trigger_put_moved(sqlite3_str *sql, const struct track *track);

/* Whether the row with the key of OLD or NEW is in the table and some reader may see it. */
void trigger_put_exists(sqlite3_str *sql, const struct track *track, const char *from);

/* --- trigger_notes.c --- */

/* Whether a row that is replaced by one of the same key may have had other readers, or a key of
 * other bytes. */
bool trigger_needs_key(const struct track *track);

/* Whether a statement may remove rows in a way that no other trigger sees. */
bool trigger_needs_notes(const struct track *track);

/* The rows that cannot be beside NEW. */
void trigger_put_rivals(sqlite3_str *sql, const struct track *track);

/* Rivals of a row that is updated; it is none itself. */
void trigger_put_other_rivals(sqlite3_str *sql, const struct track *track);

/* The condition that a note is of this table. */
void trigger_put_source(sqlite3_str *sql, const struct track *track);

/* All but the last column, the row. */
void trigger_put_note_but_row(sqlite3_str *sql, const struct track *track,
                              const char *from);

/* Removes the notes of rows that are gone; the trigger on that table reports them. (An UPDATE of
 * a table with triggers would make a temporary table each time, as INSERT ... SELECT does;
 * neither does a DELETE.) */
void trigger_put_settle(sqlite3_str *sql, const struct track *track);

/* Removes what is marked as quiet; no event is made. */
void trigger_put_remove_quiet(sqlite3_str *sql);

/* Marks notes; what follows says which. */
void trigger_put_mark_quiet(sqlite3_str *sql, const struct track *track);

/* Brings the notes of a row that is now at the key of NEW, and was at that of `from`, up to date.
 */
void trigger_put_refresh(sqlite3_str *sql, const struct track *track, const char *from);

/* --- trigger_events.c --- */

/* INSERT INTO "notification"(...) and what follows: VALUES or SELECT. */
void trigger_put_event_head(sqlite3_str *sql, const struct track *track);

/* 'orders:' || what follows */
void trigger_put_collapse_key(sqlite3_str *sql, const struct track *track);

/* '{"table":"orders","op":"OP","key":' || what follows */
void trigger_put_data_head(sqlite3_str *sql, const struct track *track, const char *op);

/* Makes the event for the row in the table that has the key of NEW; the trigger's WHEN says that
 * it is there.
 */
void trigger_put_tell_row(sqlite3_str *sql, const struct track *track, const char *op,
                          const char *old);

/* The same where the row may not be there, or no user may see it. */
void trigger_put_tell_row_if(sqlite3_str *sql, const struct track *track, const char *from);

#endif
