/* upkeep.c - what keeps the files small beside an application's writer: free pages given back,
 * the WAL emptied. Called by serve/retention.c on the writer's connection. And the probe of a
 * health check.
 *
 * Nothing here changes what kind of database it is: auto_vacuum stays what its owner has made it,
 * and so does the journal mode. */
#include "config.h"

#include "store/internal.h"

#include <string.h>
#include <sys/stat.h>

/* Free pages that are left for new rows: an eighth of the file, and these. */
#define RESERVE_PAGES 32

#define INCREMENTAL 2        /* PRAGMA auto_vacuum */
#define SYNCHRONOUS_NORMAL 1 /* PRAGMA synchronous */

enum store_result
store_ask_is_wal(struct store *store, bool *is_wal, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store, "PRAGMA journal_mode", &result, error);

    *is_wal = false;
    if (result != STORE_OK)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(statement, 0);
        *is_wal = mode != NULL && strcmp(mode, "wal") == 0;
    } else if (code != SQLITE_DONE) {
        result = store_fail(store, code, "see its journal mode", error);
    }
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
set_synchronous(struct store *store, int level, struct error *error)
{
    char sql[48];

    sqlite3_snprintf(sizeof sql, sql, "PRAGMA synchronous = %d", level);
    return store_execute(store, sql, "set how it is synced", error);
}

/* A rollback journal that is not synced can cost the database; a WAL only the last commits. */
static enum store_result
be_lazy(struct store *store, struct error *error)
{
    bool is_wal;
    int64_t level = 0;
    enum store_result result = store_ask_is_wal(store, &is_wal, error);

    if (result != STORE_OK || !is_wal)
        return result;
    if (store->synchronous < 0)
        result = store_ask_number(store, "PRAGMA synchronous", NULL, &level, error);
    if (result != STORE_OK)
        return result;
    if (store->synchronous < 0)
        store->synchronous = (int)level;
    return set_synchronous(store, SYNCHRONOUS_NORMAL, error);
}

enum store_result
store_set_durability(struct store *store, enum store_durability durability,
                     struct error *error)
{
    enum store_result result = STORE_OK;

    if (store->durability == durability)
        return STORE_OK;
    if (durability == STORE_LAZY)
        result = be_lazy(store, error);
    else if (store->synchronous >= 0)
        result = set_synchronous(store, store->synchronous, error);
    if (result == STORE_OK)
        store->durability = durability;
    return result;
}

enum store_result
store_vacuum_step(struct store *store, int max_pages, int *freed, struct error *error)
{
    int64_t kind = 0;
    int64_t spare = 0;
    int64_t pages = 0;
    char sql[64];

    *freed = 0;
    enum store_result result =
        store_ask_number(store, "PRAGMA auto_vacuum", NULL, &kind, error);
    if (result != STORE_OK || kind != INCREMENTAL)
        return result;
    result = store_ask_number(store, "PRAGMA freelist_count", NULL, &spare, error);
    if (result == STORE_OK)
        result = store_ask_number(store, "PRAGMA page_count", NULL, &pages, error);
    spare -= pages / 8 + RESERVE_PAGES;
    if (result != STORE_OK || spare <= 0)
        return result;

    int step = spare < max_pages ? (int)spare : max_pages;
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA incremental_vacuum(%d)", step);
    result = store_execute(store, sql, "give free pages back", error);
    if (result == STORE_OK)
        *freed = step;
    return result;
}

enum store_result
store_probe(struct store *store, struct error *error)
{
    struct store_marks marks;

    sqlite3_db_release_memory(store->db);
    return store_read_marks(store, &marks, error);
}

int64_t
store_wal_bytes(struct store *store)
{
    struct stat st;
    const char *path = sqlite3_filename_wal(sqlite3_db_filename(store->db, "main"));

    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

enum store_result
store_checkpoint(struct store *store, struct error *error)
{
    /* TRUNCATE holds the write lock while it copies, so what there is to copy is copied first. */
    int code =
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                         NULL);
    return code == SQLITE_OK ? STORE_OK
                             : store_fail(store, code, "checkpoint the WAL", error);
}
