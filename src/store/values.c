/* values.c - from SQLite's values to a struct row.
 *
 * store/rows.c calls it for each row that a read statement gives, store/time.c for times. The
 * table may be a foreign one, so every column may hold a value of any type; a row is handed out in
 * place, and its bytes are valid until the statement's next step.
 *
 * The calls are by sqlite3_value, fetched once for each column: each sqlite3_column_ call would
 * look the column up and take the connection's lock again, which is a fifth of a replay. The
 * connection is used by one thread (SQLITE_OPEN_NOMUTEX), so that is safe
 * (sqlite.org/c3ref/value.html). */
#include "config.h"

#include "store/internal.h"

bool
store_take_bytes(sqlite3_value *value, struct slice *slice)
{
    int type = sqlite3_value_type(value);
    const void *p;

    *slice = (struct slice){0};
    if (type == SQLITE_NULL)
        return true;
    if (type == SQLITE_BLOB)
        p = sqlite3_value_blob(value); /* NULL when it is empty */
    else
        p = sqlite3_value_text(value);
    slice->len = (size_t)sqlite3_value_bytes(value);
    slice->p = p != NULL ? p : "";
    return p != NULL || (type == SQLITE_BLOB && slice->len == 0);
}

int64_t
store_take_time(sqlite3_value *value)
{
    int type = sqlite3_value_type(value);

    return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? sqlite3_value_int64(value) : 0;
}

bool
store_take_row(const struct store *store, sqlite3_stmt *statement, struct row *row)
{
    sqlite3_value *values[STORE_COLUMNS];
    for (int i = 0; i < STORE_COLUMNS; i++)
        values[i] = sqlite3_column_value(statement, i);

    *row = (struct row){.id = sqlite3_value_int64(values[COLUMN_ID]),
                        .created_at = store_take_time(values[COLUMN_CREATED_AT]),
                        .expires_at = store_take_time(values[COLUMN_EXPIRES_AT])};
    if (!store_take_bytes(values[COLUMN_CHANNEL], &row->channel) ||
        !store_take_bytes(values[COLUMN_RECIPIENT], &row->recipient) ||
        !store_take_bytes(values[COLUMN_EVENT], &row->event) ||
        !store_take_bytes(values[COLUMN_COLLAPSE_KEY], &row->collapse_key) ||
        !store_take_bytes(values[COLUMN_DATA], &row->data))
        return false;
    row->data_bytes = row->data.len;
    row->too_large = store->max_event_bytes > 0 && row->data_bytes > store->max_event_bytes;
    if (row->too_large)
        row->data = (struct slice){0};
    return true;
}
