/* expression.c - the SQL for what is said of one row: its values as JSON, its key, its channel and
 * recipient, whether anybody may see it.
 *
 * Used by the triggers and by the query of the state, so that both give the same bytes. `from`
 * is OLD, NEW, or the table's name. Of NEW no JSON is made: a value that the application's
 * statement has made with a JSON function would be taken for JSON there (its subtype,
 * sqlite.org/ json1.html section 3.4), and in the table it is a text. Every expression is one
 * that cannot fail. */
#include "config.h"

#include "track/internal.h"

#include <string.h>

#define INT_MAX_TEXT "9007199254740991" /* 2^53 - 1 */

void
track_put_column(sqlite3_str *sql, const char *from, const char *name)
{
    sqlite3_str_appendf(sql, "%s.\"%w\"", from, name);
}

/* --- values -------------------------------------------------------------------------------------
 */

/* JavaScript counts up to 2^53 - 1; above it the digits come as a text. */
static void
put_integer(sqlite3_str *sql, const char *c)
{
    sqlite3_str_appendf(sql,
                        "CASE WHEN %s BETWEEN -" INT_MAX_TEXT " AND " INT_MAX_TEXT
                        " THEN %s ELSE CAST(%s AS TEXT) END",
                        c, c, c);
}

static void
put_real(sqlite3_str *sql, const char *c)
{
    sqlite3_str_appendf(
        sql, "CASE %s WHEN 9e999 THEN 'Infinity' WHEN -9e999 THEN '-Infinity' ELSE %s END",
        c, c);
}

/* The length is of the bytes: of a text with a NUL in it length() counts only up to that. */
static void
put_text(sqlite3_str *sql, const char *c)
{
    sqlite3_str_appendf(sql,
                        "CASE WHEN length(CAST(%s AS BLOB)) > %d THEN "
                        "json_object('length', length(CAST(%s AS BLOB))) "
                        "WHEN typeof(%s) = 'blob' THEN json_object('hex', hex(%s)) "
                        "ELSE %s END",
                        c, TRACK_VALUE_MAX, c, c, c, c);
}

static void
put_any(sqlite3_str *sql, const char *c)
{
    sqlite3_str_appendf(sql, "CASE typeof(%s) WHEN 'integer' THEN ", c);
    put_integer(sql, c);
    sqlite3_str_appendall(sql, " WHEN 'real' THEN ");
    put_real(sql, c);
    sqlite3_str_appendall(sql, " ELSE ");
    put_text(sql, c);
    sqlite3_str_appendall(sql, " END");
}

void
track_put_value(sqlite3_str *sql, const struct track_column *column, const char *from)
{
    char *c = sqlite3_mprintf("%s.\"%w\"", from, column->name);

    if (c == NULL) {
        sqlite3_str_appendall(sql, "NULL"); /* the text is out of memory, too */
        return;
    }
    switch (column->kind) {
    case TRACK_INTEGER:
        put_integer(sql, c);
        break;
    case TRACK_REAL:
        put_real(sql, c);
        break;
    case TRACK_TEXT:
        put_text(sql, c);
        break;
    case TRACK_ANY:
        put_any(sql, c);
        break;
    }
    sqlite3_free(c);
}

/* Places in track->table.columns. */
struct places {
    const size_t *at;
    size_t count;
};

static void
put_object(sqlite3_str *sql, const struct track *track, struct places places,
           const char *from)
{
    sqlite3_str_appendall(sql, "json_object(");
    for (size_t i = 0; i < places.count; i++) {
        const struct track_column *column = &track->table.columns[places.at[i]];
        sqlite3_str_appendf(sql, "%s%Q, ", i == 0 ? "" : ",\n            ", column->name);
        track_put_value(sql, column, from);
    }
    sqlite3_str_appendall(sql, ")");
}

void
track_put_key(sqlite3_str *sql, const struct track *track, const char *from)
{
    put_object(sql, track, (struct places){track->key, track->key_count}, from);
}

void
track_put_row(sqlite3_str *sql, const struct track *track, const char *from)
{
    put_object(sql, track, (struct places){track->columns, track->column_count}, from);
}

/* --- readers ------------------------------------------------------------------------------------
 */

/* A value as the text that it becomes in the table of notifications. */
static void
put_as_text(sqlite3_str *sql, const struct track_column *column, const char *from)
{
    sqlite3_str_appendall(sql, column->is_text ? "" : "CAST(");
    track_put_column(sql, from, column->name);
    sqlite3_str_appendall(sql, column->is_text ? "" : " AS TEXT)");
}

void
track_put_channel(sqlite3_str *sql, const struct track *track, const char *from)
{
    if (track->channel_column < 0)
        sqlite3_str_appendf(sql, "%Q", track->definition.channel);
    else
        put_as_text(sql, &track->table.columns[track->channel_column], from);
}

void
track_put_recipient(sqlite3_str *sql, const struct track *track, const char *from)
{
    if (track->recipient_column < 0)
        sqlite3_str_appendall(sql, "NULL");
    else
        put_as_text(sql, &track->table.columns[track->recipient_column], from);
}

/* sql/schema.sql refuses a text that SQLite itself would write for a number without a fraction. */
static void
put_no_number(sqlite3_str *sql, const char *text)
{
    sqlite3_str_appendf(sql,
                        " AND NOT ((%s GLOB '*.0' OR %s GLOB '*e+*') AND "
                        "%s = CAST(CAST(%s AS REAL) AS TEXT))",
                        text, text, text, text);
}

/* What the table of notifications would refuse as a channel is on none, and no reader sees the
 * row. */
static void
put_channel_is_good(sqlite3_str *sql, const struct track_column *column, const char *from)
{
    char *text = sqlite3_mprintf("CAST(%s.\"%w\" AS TEXT)", from, column->name);

    sqlite3_str_appendall(sql, " AND typeof(");
    track_put_column(sql, from, column->name);
    sqlite3_str_appendf(sql,
                        ") IN ('text', 'integer') AND %s <> '' AND instr(%s, char(10)) = 0 "
                        "AND instr(%s, char(13)) = 0 AND instr(%s, char(0)) = 0",
                        text, text, text, text);
    put_no_number(sql, text);
    sqlite3_free(text);
}

static void
put_recipient_is_good(sqlite3_str *sql, const struct track_column *column, const char *from)
{
    char *text = sqlite3_mprintf("CAST(%s.\"%w\" AS TEXT)", from, column->name);

    sqlite3_str_appendall(sql, " AND (");
    track_put_column(sql, from, column->name);
    sqlite3_str_appendall(sql, " IS NULL OR typeof(");
    track_put_column(sql, from, column->name);
    sqlite3_str_appendall(sql, ") IN ('text', 'integer')");
    put_no_number(sql, text);
    sqlite3_str_appendall(sql, ")");
    sqlite3_free(text);
}

/* --- who sees it --------------------------------------------------------------------------------
 */

void
track_put_as_table(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendall(sql, "(SELECT ");
    for (size_t i = 0; i < track->table.count; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : ", ");
        track_put_column(sql, from, track->table.columns[i].name);
        sqlite3_str_appendf(sql, " AS \"%w\"", track->table.columns[i].name);
    }
    sqlite3_str_appendf(sql, ") AS %s", track->quoted);
}

void
track_put_where(sqlite3_str *sql, const struct track *track, const char *from)
{
    const char *where = track->definition.where;

    if (strcmp(from, "OLD") != 0 && strcmp(from, "NEW") != 0) {
        sqlite3_str_appendf(sql, "((%s) IS TRUE)", where);
        return;
    }
    sqlite3_str_appendf(sql, "(SELECT (%s) IS TRUE FROM ", where);
    track_put_as_table(sql, track, from);
    sqlite3_str_appendall(sql, ")");
}

void
track_put_has_key(sqlite3_str *sql, const struct track *track, const char *from)
{
    sqlite3_str_appendall(sql, "1");
    for (size_t i = 0; i < track->key_count; i++) {
        const struct track_column *column = &track->table.columns[track->key[i]];
        if (column->not_null)
            continue;
        sqlite3_str_appendall(sql, " AND ");
        track_put_column(sql, from, column->name);
        sqlite3_str_appendall(sql, " IS NOT NULL");
    }
}

/* By the JSON of its key a row must be known from others: of a real number that has 15 digits, and
 * what is long is not carried. */
static void
put_key_is_good(sqlite3_str *sql, const struct track_column *column, const char *from)
{
    char *c = sqlite3_mprintf("%s.\"%w\"", from, column->name);

    if (column->kind != TRACK_INTEGER && column->kind != TRACK_REAL)
        sqlite3_str_appendf(sql, " AND length(CAST(%s AS BLOB)) <= %d", c,
                            TRACK_KEY_BYTES_MAX);
    if (column->kind == TRACK_REAL || column->kind == TRACK_ANY)
        sqlite3_str_appendf(
            sql, " AND (typeof(%s) <> 'real' OR %s = CAST(CAST(%s AS TEXT) AS REAL))", c, c,
            c);
    sqlite3_free(c);
}

void
track_put_visible(sqlite3_str *sql, const struct track *track, const char *from)
{
    track_put_has_key(sql, track, from);
    for (size_t i = 0; i < track->key_count; i++)
        put_key_is_good(sql, &track->table.columns[track->key[i]], from);
    if (track->channel_column >= 0)
        put_channel_is_good(sql, &track->table.columns[track->channel_column], from);
    if (track->recipient_column >= 0)
        put_recipient_is_good(sql, &track->table.columns[track->recipient_column], from);
    if (track->definition.where != NULL) {
        sqlite3_str_appendall(sql, " AND ");
        track_put_where(sql, track, from);
    }
}

bool
track_is_for_all(const struct track *track)
{
    return track->channel_column < 0 && track->recipient_column < 0 &&
           track->definition.where == NULL;
}
