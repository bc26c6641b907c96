/* pg.h - a connection to PostgreSQL, in the few calls that follow needs.
 *
 * The door to libpq: nothing but pg.c includes libpq-fe.h. A server that says nothing for
 * PG_PATIENCE_MS counts as lost, so that a network that was cut is noticed. Built without libpq,
 * pg_open says so. */
#ifndef ROWCAST_FOLLOW_PG_H
#define ROWCAST_FOLLOW_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define PG_PATIENCE_MS 20000

enum pg_outcome {
    PG_OK,
    PG_LOST,    /* no connection: open a new one */
    PG_REFUSED, /* the server says no: *error says why; the connection is there */
    PG_STOPPED  /* the row function said stop, or a signal came: close the connection */
};

struct pg;
struct pg_row;

bool pg_is_built(void);

/* Connects; blocks for some seconds for each host of the URL. NULL with *error: of the host and
 * what to do, without the password. */
struct pg *pg_open(const char *url, struct error *error);
void pg_close(struct pg *pg);

/* "app at db1:5432", for a person. */
const char *pg_name(const struct pg *pg);

enum pg_step { PG_MORE, PG_STOP };

/* Gets each row of each result as it comes; `result` counts the SELECTs from 0. */
typedef enum pg_step (*pg_row_fn)(void *arg, int result, const struct pg_row *row);

/* Runs statements, separated by semicolons. row may be NULL. */
enum pg_outcome pg_run(struct pg *pg, const char *sql, pg_row_fn row, void *arg,
                       struct error *error);

/* p NULL: the value is NULL. Valid until the row function returns. */
struct slice pg_text(const struct pg_row *row, int column);

/* 0 where it is NULL or no integer. */
int64_t pg_number(const struct pg_row *row, int column);

/* Waits until a notification comes, at most so long. PG_LOST: the server has closed the connection;
 * PG_STOPPED: a signal came. */
enum pg_outcome pg_wait(struct pg *pg, int timeout_ms, bool *notified);

#endif
