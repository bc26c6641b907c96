/* rows.h - where a bench's rows go: into a table, to the trivial responder, or to a peer. */
#ifndef ROWCAST_BENCH_ROWS_H
#define ROWCAST_BENCH_ROWS_H

#include <stdint.h>

struct rows;

/* One of: INSERTs into the database; datagrams to trivial.c's control socket; POSTs. Ends the
 * program with a message when it cannot. */
struct rows *rows_to_database(const char *path);
struct rows *rows_to_trivial(const char *control);
struct rows *rows_to_http(int port, const char *target);

/* What the rows are like from now on. */
void rows_set_channel(struct rows *rows, const char *channel);
void rows_set_size(struct rows *rows, int data_bytes);
void rows_set_per_record(struct rows *rows, int events); /* for the trivial responder */

/* Writes `count` rows, numbered from rows_next on, in one transaction if there are several. The
 * stamp of each is the time at the start of its INSERT. */
void rows_write(struct rows *rows, int count);
int64_t rows_next(const struct rows *rows);
void rows_set_next(struct rows *rows, int64_t next);

/* Runs SQL; ends the program when that fails or there is no database. */
void rows_sql(struct rows *rows, const char *sql);

void rows_free(struct rows *rows);

#endif
