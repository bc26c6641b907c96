/* state.c - the rows of a tracked table in the order of its key, as its events have them.
 *
 * Called for state=, within a read transaction of the caller's. Nothing but a cursor (the last
 * row's key) is kept between two calls, so that a reader who is slow holds no transaction. */
#include "config.h"

#include "track/internal.h"

/* --- the text -----------------------------------------------------------------------------------
 */

/* The column of the key at that place of the index, by whose values it is in order there. */
static void
put_order_column(sqlite3_str *sql, const struct track *track, size_t place)
{
    size_t at = track->order[place].at;
    const struct track_column *column = &track->table.columns[track->key[at]];

    track_put_column(sql, track->quoted, column->name);
    if (sqlite3_stricmp(column->collation, track->key_collation[at]) != 0)
        sqlite3_str_appendf(sql, " COLLATE \"%w\"", track->key_collation[at]);
}

static void
put_order(sqlite3_str *sql, const struct track *track)
{
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : ", ");
        put_order_column(sql, track, i);
        sqlite3_str_appendall(sql, track->order[i].is_descending ? " DESC" : "");
    }
}

/* Behind the NULLs that an index may begin with, however many. */
static void
put_from_start(sqlite3_str *sql, const struct track *track)
{
    const struct track_column *first =
        &track->table.columns[track->key[track->order[0].at]];

    if (first->not_null)
        return;
    sqlite3_str_appendall(sql, " AND ");
    put_order_column(sql, track, 0);
    sqlite3_str_appendall(sql, first->is_text ? " >= ''" : " >= -9e999");
}

/* The first `equal` columns as in the cursor's key, the next one beyond it. */
static void
put_behind(sqlite3_str *sql, const struct track *track, size_t equal)
{
    for (size_t i = 0; i <= equal; i++) {
        const char *sign = i < equal ? "=" : track->order[i].is_descending ? "<" : ">";
        sqlite3_str_appendall(sql, " AND ");
        put_order_column(sql, track, i);
        sqlite3_str_appendf(sql, " %s ?%u", sign, (unsigned)i + 2);
    }
}

char *
track_state_text(const struct track *track, size_t equal)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendall(sql, "SELECT ");
    for (size_t i = 0; i < track->key_count; i++) {
        size_t at = track->order[i].at;
        track_put_column(sql, track->quoted, track->table.columns[track->key[at]].name);
        sqlite3_str_appendall(sql, ", ");
    }
    track_put_channel(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ", ");
    track_put_recipient(sql, track, track->quoted);
    sqlite3_str_appendall(sql, ",\n    ");
    track_put_key(sql, track, track->quoted);
    /* Not in the WHERE: a million rows that no reader may see would be passed over in one step. */
    sqlite3_str_appendall(sql, ",\n    CASE WHEN ");
    track_put_visible(sql, track, track->quoted);
    sqlite3_str_appendall(sql, " THEN\n    ");
    track_put_row(sql, track, track->quoted);
    sqlite3_str_appendf(sql, "\n    END\nFROM %s WHERE ", track->quoted);
    track_put_has_key(sql, track, track->quoted);
    if (equal == TRACK_FROM_START)
        put_from_start(sql, track);
    else
        put_behind(sql, track, equal);
    sqlite3_str_appendall(sql, "\nORDER BY ");
    put_order(sql, track);
    sqlite3_str_appendall(sql, " LIMIT ?1");
    return sqlite3_str_finish(sql);
}

void
track_free_text(char *text)
{
    sqlite3_free(text);
}

/* --- reading ------------------------------------------------------------------------------------
 */

void
track_cursor_fini(struct track_cursor *cursor)
{
    for (size_t i = 0; i < cursor->count; i++)
        sqlite3_value_free(cursor->key[i]);
    cursor->count = 0;
}

bool
track_cursor_copy(struct track_cursor *to, const struct track_cursor *from)
{
    for (; to->count < from->count; to->count++) {
        to->key[to->count] = sqlite3_value_dup(from->key[to->count]);
        if (to->key[to->count] == NULL) {
            track_cursor_fini(to);
            return false;
        }
    }
    return true;
}

/* False: out of memory; the cursor is then before the first row. */
static bool
move_cursor(struct track_cursor *cursor, const struct track *track, sqlite3_stmt *statement)
{
    track_cursor_fini(cursor);
    for (size_t i = 0; i < track->key_count; i++) {
        sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(statement, (int)i));
        if (value == NULL) {
            track_cursor_fini(cursor);
            return false;
        }
        cursor->key[cursor->count++] = value;
    }
    return true;
}

static struct slice
slice_column(sqlite3_stmt *statement, size_t column)
{
    const char *p = (const char *)sqlite3_column_text(statement, (int)column);
    return (struct slice){
        p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, (int)column)};
}

static enum store_step
give_row(sqlite3_stmt *statement, const struct track_reading *reading)
{
    size_t at = reading->track->key_count;
    struct track_row row = {.channel = slice_column(statement, at),
                            .recipient = slice_column(statement, at + 1),
                            .key = slice_column(statement, at + 2),
                            .row = slice_column(statement, at + 3)};
    return reading->fn(reading->arg, &row);
}

/* What SQLite says of a query that was made from the definition. */
static enum store_result
fail_reading(struct store *store, const struct track *track, int code, struct error *error)
{
    const char *name = track->definition.name;

    if (code == SQLITE_INTERRUPT)
        error_set(error,
                  "%s: its rows cannot be read in short steps: too many without a key "
                  "lie together in the index",
                  name);
    else if (code == SQLITE_ERROR)
        error_set(error, "%s: %s", name, sqlite3_errmsg(store_connection(store)));
    else
        return store_fail(store, code, "read the rows", error);
    return STORE_REFUSED;
}

/* A part of what is behind a cursor: the rows whose first `equal` key columns are those of the
 * cursor, or all (TRACK_FROM_START). */
struct arm {
    const struct track_cursor *from;
    size_t equal;
};

static sqlite3_stmt *
prepare_arm(struct store *store, const struct track *track, struct arm arm, int *code)
{
    sqlite3_stmt *statement = NULL;
    char *text = track_state_text(track, arm.equal);

    *code = text == NULL
                ? SQLITE_NOMEM
                : sqlite3_prepare_v2(store_connection(store), text, -1, &statement, NULL);
    track_free_text(text);
    size_t bound = arm.equal == TRACK_FROM_START ? 0 : arm.equal + 1;
    for (size_t i = 0; statement != NULL && i < bound; i++)
        sqlite3_bind_value(statement, (int)i + 2, arm.from->key[i]);
    return statement;
}

/* A step that finds no row for this long delays all readers: about 10 ms. */
#define STEP_OPS 1000
#define STEP_CALLS_MAX 300

static int
count_step(void *arg)
{
    return ++*(unsigned *)arg > STEP_CALLS_MAX;
}

/* Reads the rows of the arm and moves the cursor. Returns SQLITE_DONE: there are no more of these,
 * or reading->max_rows were given; SQLITE_ROW: fn has said stop. */
static int
read_arm(struct store *store, struct track_reading *reading, struct arm arm)
{
    int code;
    unsigned calls = 0;
    sqlite3 *db = store_connection(store);
    sqlite3_stmt *statement = prepare_arm(store, reading->track, arm, &code);

    if (statement == NULL)
        return code;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)(reading->max_rows - reading->count));
    sqlite3_progress_handler(db, STEP_OPS, count_step, &calls);
    enum store_step step = STORE_MORE;
    while (step == STORE_MORE && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        calls = 0;
        step = give_row(statement, reading);
        reading->count++;
        if (!move_cursor(reading->cursor, reading->track, statement)) {
            code = SQLITE_NOMEM;
            break;
        }
    }
    sqlite3_progress_handler(db, 0, NULL, NULL);
    sqlite3_finalize(statement);
    return code;
}

/* Behind a key of two columns (a, b) are the rows with this a and a greater b, then those with
 * a greater a. Each is a range of the index and comes in its order, whatever columns of it are
 * descending. */
static int
read_arms(struct store *store, struct track_reading *reading,
          const struct track_cursor *from)
{
    int code = SQLITE_DONE;

    if (from->count == 0)
        return read_arm(store, reading, (struct arm){from, TRACK_FROM_START});
    for (size_t equal = from->count;
         code == SQLITE_DONE && equal-- > 0 && reading->count < reading->max_rows;)
        code = read_arm(store, reading, (struct arm){from, equal});
    return code;
}

enum store_result
track_read_rows(struct store *store, struct track_reading *reading, struct error *error)
{
    struct track_cursor from = {0};

    reading->more = true;
    reading->count = 0;
    if (!track_cursor_copy(&from, reading->cursor))
        return store_fail(store, SQLITE_NOMEM, "read the rows", error);
    int code = read_arms(store, reading, &from);
    track_cursor_fini(&from);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail_reading(store, reading->track, code, error);
    reading->more = code == SQLITE_ROW || reading->count == reading->max_rows;
    return STORE_OK;
}
