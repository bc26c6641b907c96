/* query.c - see follow/query.h. Numbers go in as text: they are ours. */
#include "config.h"

#include "follow/query.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static bool
is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

void
query_append(struct buf *sql, const char *text, const char *table)
{
    static const char word[] = "notification";
    const size_t word_len = sizeof word - 1;

    while (*text != '\0') {
        size_t len = 0;
        while (is_word_byte(text[len]))
            len++;
        if (len >= word_len && memcmp(text, word, word_len) == 0 &&
            (len == word_len || text[word_len] == '_')) {
            buf_append_text(sql, table);
            buf_append(sql, text + word_len, len - word_len);
        } else {
            buf_append(sql, text, len > 0 ? len : 1);
        }
        text += len > 0 ? len : 1;
    }
}

/* A standby that no longer hears from its primary is as old as what it replayed last. */
static const char log_text[] =
    "SELECT m.schema_version, m.base, m.low_water, m.deletions, m.origin, "
    "(SELECT last_value FROM \"notification_id\"), pg_is_in_recovery(), "
    "EXISTS(SELECT FROM pg_trigger WHERE tgrelid = '\"notification\"'::regclass "
    "AND tgname = 'notification_number' AND tgenabled IN ('O', 'A')), "
    "CASE WHEN NOT pg_is_in_recovery() THEN 0 "
    "WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() "
    "AND EXISTS(SELECT FROM pg_stat_wal_receiver) THEN 0 "
    "ELSE greatest(0, coalesce((extract(epoch FROM clock_timestamp() - "
    "pg_last_xact_replay_timestamp()) * 1000)::bigint, 0)) END, "
    "(SELECT min(id) FROM \"notification\" WHERE id > 0), "
    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
    "current_setting('server_encoding'), "
    "(SELECT mark FROM \"notification_deletion\" WHERE number = m.deletions) "
    "FROM \"rowcast_meta\" AS m WHERE m.table_name = 'notification';";

void
query_log(struct buf *sql, const char *table)
{
    query_append(sql, log_text, table);
    buf_append(sql, "", 1);
}

static void
append_format(struct buf *sql, const char *table, struct buf *text)
{
    buf_append(text, "", 1);
    if (!text->failed)
        query_append(sql, text->p, table);
    buf_append(sql, "", 1);
    sql->failed = sql->failed || text->failed;
    buf_fini(text);
}

/* PostgreSQL plans a look once for a connection. A plan that reads the whole table is good only
 * while the table is small, so only plans by an index are allowed. With the others forbidden the
 * cost seems so high that jit would compile each plan: so jit is off. */
void
query_prepare(struct buf *sql, const char *table)
{
    struct buf text = {0};

    buf_printf(
        &text,
        "SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; "
        "SET enable_sort = off; SET plan_cache_mode = force_generic_plan; "
        "PREPARE rowcast_log AS %s "
        "PREPARE rowcast_deletions(bigint) AS SELECT number, lowest, highest, mark "
        "FROM \"notification_deletion\" WHERE number > $1 ORDER BY number LIMIT %d; "
        "PREPARE rowcast_rows(bigint) AS "
        "SELECT id, channel, recipient, event, collapse_key, created_at, expires_at, "
        "CASE WHEN octet_length(data) <= %" PRId64 " THEN data END "
        "FROM \"notification\" WHERE id > $1 ORDER BY id LIMIT %d",
        log_text, QUERY_DELETIONS, QUERY_DATA_MAX, QUERY_ROWS);
    append_format(sql, table, &text);
}

void
query_look(struct buf *sql, const char *table, int64_t deletions, int64_t cursor)
{
    struct buf text = {0};

    buf_printf(&text,
               "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; EXECUTE rowcast_log; "
               "EXECUTE rowcast_deletions(%" PRId64 "); EXECUTE rowcast_rows(%" PRId64
               "); COMMIT",
               deletions, cursor);
    append_format(sql, table, &text);
}

void
query_ids(struct buf *sql, const char *table, int64_t first, int64_t last)
{
    struct buf text = {0};

    buf_printf(&text,
               "SELECT id FROM \"notification\" WHERE id BETWEEN %" PRId64 " AND %" PRId64
               " ORDER BY id LIMIT %d",
               first, last, QUERY_IDS);
    append_format(sql, table, &text);
}

void
query_row_time(struct buf *sql, const char *table, int64_t id)
{
    struct buf text = {0};

    buf_printf(&text, "SELECT created_at FROM \"notification\" WHERE id = %" PRId64, id);
    append_format(sql, table, &text);
}
