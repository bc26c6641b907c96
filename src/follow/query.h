/* query.h - the text of each query that follow sends, with the table's name in it. */
#ifndef ROWCAST_FOLLOW_QUERY_H
#define ROWCAST_FOLLOW_QUERY_H

#include <stdint.h>

#include "base/buf.h"

/* Appends the SQL with the word notification replaced, as the head of sql/postgres.sql says. */
void query_append(struct buf *sql, const char *text, const char *table);

/* Rows and deletions of one look. */
#define QUERY_ROWS 1000
#define QUERY_DELETIONS 1000
#define QUERY_IDS 10000

/* Above it data is not fetched: the row is left out, and readers get a gap event. */
#define QUERY_DATA_MAX (INT64_C(64) << 20)

/* The columns of the first SELECT of a look: what the log says of itself. */
enum {
    LOG_VERSION,
    LOG_BASE,
    LOG_LOW_WATER,
    LOG_DELETIONS,
    LOG_ORIGIN,
    LOG_LAST,        /* the last id that was given */
    LOG_IS_STANDBY,  /* "t" or "f" */
    LOG_IS_NUMBERED, /* the trigger that gives ids is there and on */
    LOG_DELAY_MS,    /* of a standby behind its primary */
    LOG_LOWEST,      /* the lowest id; NULL: no row */
    LOG_CLOCK_MS,    /* the server's clock */
    LOG_ENCODING,
    LOG_DELETION_MARK /* of the last deletion; NULL: none */
};

/* Columns of rows. */
enum {
    ROW_ID,
    ROW_CHANNEL,
    ROW_RECIPIENT,
    ROW_EVENT,
    ROW_COLLAPSE_KEY,
    ROW_CREATED_AT,
    ROW_EXPIRES_AT,
    ROW_DATA
};

/* Once for each connection, before query_look: planning a look costs PostgreSQL nine times what
 * the look itself costs. */
void query_prepare(struct buf *sql, const char *table);

/* All of one snapshot: 0 the log, 1 deletions (number, lowest, highest, mark) after `deletions`, 2
 * rows after `cursor`. */
void query_look(struct buf *sql, const char *table, int64_t deletions, int64_t cursor);

/* 0 the log. */
void query_log(struct buf *sql, const char *table);

/* Ids of rows of a range, the lowest QUERY_IDS of them. */
void query_ids(struct buf *sql, const char *table, int64_t first, int64_t last);

/* created_at of the row. */
void query_row_time(struct buf *sql, const char *table, int64_t id);

#endif
