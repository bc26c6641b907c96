/* retention.h - `serve --keep-age`, `--keep-rows`: old rows deleted in the background.
 *
 * A kind of work for the writer's thread (publish/writer.h). It works in small transactions
 * with pauses between them, takes the lock only when it is free, and does nothing at all
 * while there is nothing to delete. */
#ifndef ROWCAST_SERVE_RETENTION_H
#define ROWCAST_SERVE_RETENTION_H

#include "store/store.h"
#include "publish/writer.h"

struct retention;

struct retention_config {
    const char *path;
    const char *table;
    int64_t keep_age_ms; /* 0: not by age */
    int64_t keep_rows;   /* 0: not by count */
    /* Rows up to this id were handed out by our loop, which writes it. */
    const uint64_t *tail;
    /* And up to this one by all processes that serve the table, called by the thread: rows above
     * it stay, so that no connected reader misses one. A process that lags is waited for, but
     * not for ever. NULL: there is only ours. */
    uint64_t (*lowest_tail)(const void *arg);
    const void *arg;
    uint64_t *pruned_rows; /* counted up by the thread alone, read by anybody */
    uint64_t *prunes;      /* likewise: transactions that deleted something */
};

/* Whether anything is to be kept back at all: -1 with *error when `marks` are those of a table that
 * rowcast has not made, of which only its application may delete. */
int retention_check(const struct retention_config *config, const struct store_marks *marks,
                    struct error *error);

/* Adds the kind of work to the writer, which is not started yet and must be freed (its thread
 * is then ended) before retention_free. Copies *config. Returns NULL when out of memory. A
 * database that cannot be written is no error: the writer logs it, and it is tried again. */
struct retention *retention_new(const struct retention_config *config,
                                struct writer *writer);

/* NULL is fine. */
void retention_free(struct retention *retention);

#endif
