/* inspect.h - the database from the outside, without leaving a trace: for doctor. */
#ifndef ROWCAST_STORE_INSPECT_H
#define ROWCAST_STORE_INSPECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "store/store.h"

enum store_kind { STORE_KIND_NONE, STORE_KIND_OURS, STORE_KIND_FOREIGN };

/* Whose the table is (a name as in store_config), and the version of its schema where it is
 * ours. For doctor, which says more about it than the error of store_open: opens the database
 * with STORE_INSPECT. Returns STORE_OK, or another with *error. */
enum store_result store_inspect(const struct store_config *config, enum store_kind *kind,
                                int *version, struct error *error);

/* What lets rows of others stay unseen though all can be read: a second name, a read-only overlay,
 * a process with another -shm. Opens nothing. True with *error when it found one. */
bool store_inspect_names(const char *path, struct error *error);

#define STORE_WAL_READERS 5

/* The write-ahead log beside a database, from the files themselves (sqlite.org/walformat.html).
 * What says bytes is -1 where there is no such file. */
struct store_wal {
    bool wal_mode; /* the database's header says WAL, else a rollback journal */
    int64_t bytes; /* of the -wal file, which is not made smaller when it is done with */
    int64_t shm_bytes;     /* of the -shm file */
    uint32_t page_bytes;   /* 0: not known */
    uint32_t frames;       /* pages in the log that count */
    uint32_t checkpointed; /* of these, how many are in the database file already */
    struct {
        bool locked;    /* a read transaction uses this mark */
        uint32_t frame; /* which sees the log up to here; a checkpoint stops there */
        pid_t pid;      /* 0: in another container or machine */
    } readers[STORE_WAL_READERS];
};

/* Fills *wal without SQLite, without a lock, and without making a file. It opens and closes the
 * files: only in a process that has no database open at that path
 * (sqlite.org/howtocorrupt.html section 2.2). Returns 0, or -1 with *error. */
int store_inspect_wal(const char *path, struct store_wal *wal, struct error *error);

#endif
