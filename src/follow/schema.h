/* schema.h - sql/postgres.sql, which the program carries: printed, or applied to a database. */
#ifndef ROWCAST_FOLLOW_SCHEMA_H
#define ROWCAST_FOLLOW_SCHEMA_H

#include "base/buf.h"
#include "base/error.h"

/* The version that sql/postgres.sql makes, and that this program follows. */
#define FOLLOW_SCHEMA_VERSION 1

/* Appends the SQL with the table's name in it. Returns 0, or -1 with *error: not a name. */
int follow_schema_append(struct buf *sql, const char *table, struct error *error);

/* Applies it. Returns 0, or -1 with *error. */
int follow_schema_apply(const char *url, const char *table, struct error *error);

#endif
