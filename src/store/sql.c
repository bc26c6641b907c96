/* sql.c - the text of every statement that is prepared.
 *
 * All SQL but the schema stands here, so that what the program asks of the database can be read
 * in one place. store/statement.c prepares a text when it is first needed. The texts are built
 * once, as the table's name and the columns that it has vary. Names go in with "%w", which doubles
 * double quotes. */
#include "config.h"

#include "store/internal.h"

const char *const store_column_names[STORE_COLUMNS] = {
    "id",           "channel",    "recipient",  "event",
    "collapse_key", "created_at", "expires_at", "data",
};

/* Ids that a reader may get. In a foreign table texts, reals and what JavaScript cannot count
 * are left out (SQLite sorts texts after every number). */
static void
append_id_bounds(sqlite3_str *sql, const struct store *store)
{
    sqlite3_str_appendf(sql, "\"id\" <= %lld", (long long)ROW_ID_MAX);
    if (store->foreign)
        sqlite3_str_appendf(sql, " AND \"id\" >= %lld AND typeof(\"id\") = 'integer'",
                            (long long)ROW_ID_MIN);
}

/* The column, "NULL" where there is none. A foreign table may have its times as text, as SQLite's
 * own CURRENT_TIMESTAMP and most object mappers write them, in UTC. */
static void
append_column(sqlite3_str *sql, const struct store *store, enum store_column column)
{
    const char *name = store_column_names[column];

    if (!store->has[column])
        sqlite3_str_appendall(sql, "NULL");
    else if (store->foreign && (column == COLUMN_CREATED_AT || column == COLUMN_EXPIRES_AT))
        sqlite3_str_appendf(
            sql,
            "CASE typeof(t.\"%w\") WHEN 'text' THEN CAST(round((julianday("
            "t.\"%w\") - 2440587.5) * 86400000) AS INTEGER) ELSE t.\"%w\" END",
            name, name, name);
    else
        sqlite3_str_appendf(sql, "t.\"%w\"", name);
}

/* FROM and WHERE of the newer row that replaces row t. */
static void
append_newer(sqlite3_str *sql, const struct store *store)
{
    sqlite3_str_appendf(sql,
                        " FROM \"%w\" AS n WHERE n.\"collapse_key\" = t.\"collapse_key\" "
                        "AND n.\"id\" > t.\"id\" AND n.\"id\" <= ?%d",
                        store->table, READ_NEWEST);
    if (store->has[COLUMN_CHANNEL])
        sqlite3_str_appendall(sql, " AND n.\"channel\" IS t.\"channel\"");
    if (store->has[COLUMN_RECIPIENT])
        sqlite3_str_appendall(sql, " AND n.\"recipient\" IS t.\"recipient\"");
}

/* Whether a newer row replaces this one. Looked at row by row, rather than in the WHERE, so
 * that LIMIT bounds the rows that are looked at and not those that are left. */
static void
append_superseded(sqlite3_str *sql, const struct store *store)
{
    if (!store->can_collapse) {
        sqlite3_str_appendall(sql, ", 0");
        return;
    }
    sqlite3_str_appendf(sql,
                        ", CASE WHEN ?%d AND t.\"collapse_key\" IS NOT NULL "
                        "THEN EXISTS(SELECT 1",
                        READ_COLLAPSE);
    append_newer(sql, store);
    sqlite3_str_appendall(sql, ") ELSE 0 END");
}

static void
append_select(sqlite3_str *sql, const struct store *store, enum store_reading reading)
{
    sqlite3_str_appendall(sql, "SELECT ");
    for (int i = 0; i < STORE_COLUMNS; i++) {
        sqlite3_str_appendall(sql, i == 0 ? "" : ", ");
        if (i == COLUMN_DATA && reading != STORE_FORWARD)
            sqlite3_str_appendall(sql, "NULL");
        else
            append_column(sql, store, (enum store_column)i);
    }
    append_superseded(sql, store);
    sqlite3_str_appendf(sql, " FROM \"%w\" AS t WHERE t.\"id\" > ?%d AND t.\"id\" <= ?%d",
                        store->table, READ_AFTER, READ_UP_TO);
    if (store->foreign) /* up_to is a number, so text ids are out; real ones are not */
        sqlite3_str_appendall(sql, " AND typeof(t.\"id\") = 'integer'");
}

/* The function is asked before any other column is read (store/rows.c). */
static void
append_filter(sqlite3_str *sql, const struct store *store)
{
    sqlite3_str_appendall(sql, " AND rowcast_wants(t.\"id\", ");
    append_column(sql, store, COLUMN_CHANNEL);
    sqlite3_str_appendall(sql, ", ");
    append_column(sql, store, COLUMN_RECIPIENT);
    sqlite3_str_appendall(sql, ")");
}

/* By pairs one SELECT for each of channel and recipient, each on the index, which SQLite merges
 * without sorting. */
char *
store_read_text(const struct store *store, enum store_reading reading, unsigned way)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);
    unsigned arms = way > STORE_BY_PAIRS ? way - STORE_BY_PAIRS : 0;

    append_select(sql, store, reading);
    if (way == STORE_BY_FILTER)
        append_filter(sql, store);
    for (unsigned arm = 0; arm < arms; arm++) {
        if (arm > 0) {
            sqlite3_str_appendall(sql, " UNION ALL ");
            append_select(sql, store, reading);
        }
        sqlite3_str_appendf(sql, " AND t.\"channel\" = ?%u AND t.\"recipient\" IS ?%u",
                            READ_FIRST_ARM + 2 * arm, READ_FIRST_ARM + 2 * arm + 1);
    }
    sqlite3_str_appendf(sql, " ORDER BY 1 %s LIMIT ?%d",
                        reading == STORE_BACKWARD ? "DESC" : "ASC", READ_LIMIT);
    return sqlite3_str_finish(sql);
}

/* base, low_water, lowest, highest, sequence, types of the first id and of the last */
static char *
marks_text(const struct store *store)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);

    if (store->foreign)
        sqlite3_str_appendall(sql, "SELECT NULL, NULL");
    else
        sqlite3_str_appendall(sql, "SELECT m.base, m.low_water");
    sqlite3_str_appendf(sql, ", (SELECT min(\"id\") FROM \"%w\" WHERE ", store->table);
    append_id_bounds(sql, store);
    sqlite3_str_appendf(sql, "), (SELECT max(\"id\") FROM \"%w\" WHERE ", store->table);
    append_id_bounds(sql, store);
    sqlite3_str_appendall(sql, "), ");
    if (store->has_sequence)
        sqlite3_str_appendf(sql, "(SELECT max(seq) FROM sqlite_sequence WHERE name = %Q)",
                            store->table);
    else
        sqlite3_str_appendall(sql, "NULL");
    if (store->foreign) /* NULL sorts before every number, text and blob after */
        sqlite3_str_appendf(
            sql,
            ", (SELECT typeof(\"id\") FROM \"%w\" ORDER BY \"id\" LIMIT 1), "
            "(SELECT typeof(\"id\") FROM \"%w\" ORDER BY \"id\" DESC LIMIT 1)",
            store->table, store->table);
    else
        sqlite3_str_appendf(sql,
                            ", NULL, NULL FROM rowcast_meta AS m WHERE m.table_name = %Q",
                            store->table);
    return sqlite3_str_finish(sql);
}

static char *
id_above_text(const struct store *store)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);

    sqlite3_str_appendf(sql, "SELECT min(\"id\") FROM \"%w\" WHERE \"id\" > ?1 AND ",
                        store->table);
    append_id_bounds(sql, store);
    return sqlite3_str_finish(sql);
}

/* Of the next so many rows the first whose time is known, that is positive and not in the
 * future. Without an ORDER BY outside, which would read them all; the rows come in the order of
 * the inner one. */
#define TIMES_LOOKED_AT 100

/* The lowest of the last so many rows up to ?1 whose time lies between ?2 and ?3. */
#define FRESH_LOOKED_AT 1000

static char *
fresh_up_to_text(const struct store *store)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);

    sqlite3_str_appendall(sql, "SELECT min(id) FROM (SELECT t.\"id\" AS id, ");
    append_column(sql, store, COLUMN_CREATED_AT);
    sqlite3_str_appendf(sql, " AS created FROM \"%w\" AS t WHERE t.\"id\" <= ?1 AND ",
                        store->table);
    append_id_bounds(sql, store);
    sqlite3_str_appendf(sql,
                        " ORDER BY t.\"id\" DESC LIMIT %d) "
                        "WHERE created >= ?2 AND created <= ?3",
                        FRESH_LOOKED_AT);
    return sqlite3_str_finish(sql);
}

static char *
first_above_text(const struct store *store)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);

    sqlite3_str_appendall(sql, "SELECT id, created FROM (SELECT t.\"id\" AS id, ");
    append_column(sql, store, COLUMN_CREATED_AT);
    sqlite3_str_appendf(sql, " AS created FROM \"%w\" AS t WHERE t.\"id\" > ?1 AND ",
                        store->table);
    append_id_bounds(sql, store);
    sqlite3_str_appendf(sql,
                        " ORDER BY t.\"id\" LIMIT %d) "
                        "WHERE created > 0 AND created <= ?2 LIMIT 1",
                        TIMES_LOOKED_AT);
    return sqlite3_str_finish(sql);
}

/* The statements whose text has no more than the table's name in it, for sqlite3_mprintf. */
static const char *const statement_formats[STORE_STATEMENTS] = {
    [STATEMENT_DATA_VERSION] = "PRAGMA data_version",
    [STATEMENT_SCHEMA_COOKIE] = "PRAGMA schema_version",
    [STATEMENT_JOURNAL_MODE] = "PRAGMA journal_mode",
    [STATEMENT_BEGIN_READ] = "BEGIN",
    [STATEMENT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_INSERT] =
        ("INSERT INTO \"%w\"(channel, recipient, event, data, collapse_key, "
         "expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
    [STATEMENT_OLDEST] = "SELECT id, created_at, expires_at FROM \"%w\" ORDER BY id",
    [STATEMENT_COUNT] = "SELECT count(*) FROM \"%w\"",
    [STATEMENT_NTH] = "SELECT id FROM \"%w\" ORDER BY id LIMIT 1 OFFSET ?1",
    [STATEMENT_ANY_EXPIRED] =
        "SELECT 1 FROM \"%w\" WHERE expires_at > 0 AND expires_at < ?1 LIMIT 1",
    [STATEMENT_DELETE_UP_TO] = ("DELETE FROM \"%w\" WHERE id IN (SELECT id FROM \"%w\" "
                                "WHERE id <= ?1 ORDER BY id LIMIT ?2)"),
    [STATEMENT_DELETE_EXPIRED] =
        ("DELETE FROM \"%w\" WHERE id IN (SELECT id FROM \"%w\" WHERE expires_at > 0 AND "
         "expires_at < ?1 ORDER BY expires_at LIMIT ?2)"),
    [STATEMENT_INSERT_FOLLOWED] =
        ("INSERT INTO \"%w\"(id, channel, recipient, event, collapse_key, created_at, "
         "expires_at, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
    [STATEMENT_DELETE_BETWEEN] = "DELETE FROM \"%w\" WHERE id BETWEEN ?1 AND ?2",
};

char *
store_statement_text(const struct store *store, enum store_statement which)
{
    if (which == STATEMENT_MARKS)
        return marks_text(store);
    if (which == STATEMENT_FRESH_UP_TO)
        return fresh_up_to_text(store);
    if (which == STATEMENT_ID_ABOVE)
        return id_above_text(store);
    if (which == STATEMENT_FIRST_ABOVE)
        return first_above_text(store);
    return sqlite3_mprintf(statement_formats[which], store->table, store->table);
}

char *
store_newer_plan_text(const struct store *store)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);

    sqlite3_str_appendf(sql,
                        "EXPLAIN QUERY PLAN SELECT 1 FROM \"%w\" AS t "
                        "WHERE t.\"collapse_key\" IS NOT NULL AND EXISTS(SELECT 1",
                        store->table);
    append_newer(sql, store);
    sqlite3_str_appendall(sql, ")");
    return sqlite3_str_finish(sql);
}
