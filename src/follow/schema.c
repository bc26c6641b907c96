/* schema.c - see follow/schema.h. Called by cmd/follow.c and, for names in queries, by follow/. */
#include "config.h"

#include "follow/schema.h"

#include <ctype.h>
#include <string.h>

#include "follow/pg.h"
#include "follow/query.h"
#include "postgres_sql.h"

/* PostgreSQL cuts names off at 63 bytes; the longest of ours adds 14 to the table's. */
#define TABLE_NAME_MAX 40

static int
check_name(const char *table, struct error *error)
{
    size_t len = strspn(table, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789_");

    if (len > 0 && table[len] == '\0' && len <= TABLE_NAME_MAX &&
        !isdigit((unsigned char)table[0]) && strncmp(table, "rowcast_", 8) != 0)
        return 0;
    return error_set(error,
                     "\"%.80s\" cannot be the table's name in PostgreSQL: use up to %d "
                     "letters, digits and _, no digit first, and not rowcast_",
                     table, TABLE_NAME_MAX);
}

int
follow_schema_append(struct buf *sql, const char *table, struct error *error)
{
    if (check_name(table, error) != 0)
        return -1;
    query_append(sql, postgres_sql, table);
    return sql->failed ? error_set(error, "out of memory") : 0;
}

static int
apply(struct pg *pg, const char *table, struct error *error)
{
    struct buf sql = {0};
    int outcome = follow_schema_append(&sql, table, error);

    buf_append(&sql, "", 1);
    if (outcome == 0 && sql.failed)
        outcome = error_set(error, "out of memory");
    if (outcome == 0 && pg_run(pg, sql.p, NULL, NULL, error) != PG_OK)
        outcome = -1;
    buf_fini(&sql);
    return outcome;
}

int
follow_schema_apply(const char *url, const char *table, struct error *error)
{
    struct buf sql = {0};

    if (follow_schema_append(&sql, table, error) != 0)
        return -1;
    buf_fini(&sql);
    struct pg *pg = pg_open(url, error);
    if (pg == NULL)
        return -1;
    int outcome = apply(pg, table, error);
    pg_close(pg);
    return outcome;
}
