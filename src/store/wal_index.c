/* wal_index.c - whether something was committed, from the header of the WAL index.
 *
 * The index lies in memory that all connections share (-shm). Its header changes with each commit,
 * and SQLite itself compares it to see whether its cache still holds
 * (sqlite.org/walformat.html#the_wal_index_header). To compare it here costs no call of the
 * system, where PRAGMA data_version takes and gives back locks. Called by store/store.c. */
#include "config.h"

#include "store/internal.h"

#include <string.h>

/* The first region of the index, as SQLite maps it. */
#define REGION_BYTES 32768

void
store_wal_index_find(struct store *store)
{
    sqlite3_file *file = NULL;
    volatile void *region = NULL;

    store->wal_index = NULL;
    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 2)
        return;
    /* SQLite has mapped it and keeps it until the connection is closed, as a database does not
     * leave WAL mode while a connection is open. */
    int code = file->pMethods->xShmMap(file, 0, REGION_BYTES, 0, &region);
    if (code == SQLITE_OK || code == SQLITE_READONLY)
        store->wal_index = region;
}

bool
store_wal_index_changed(struct store *store)
{
    uint32_t now[STORE_WAL_INDEX_WORDS];

    for (size_t i = 0; i < STORE_WAL_INDEX_WORDS; i++)
        now[i] = store->wal_index[i];
    if (memcmp(now, store->wal_index_seen, sizeof now) == 0)
        return false;
    /* A header read while it is being written differs as well: the next call sees the rest. */
    memcpy(store->wal_index_seen, now, sizeof now);
    return true;
}
