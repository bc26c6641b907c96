/* store.c - opens the database and closes it.
 *
 * Called by every subcommand; serve calls it from its loop with busy_ms 0, so nothing here may
 * wait. A reader opens the file for writing too where it may, because a reader of a WAL database
 * has to make -wal and -shm when it comes first, but can then change nothing (PRAGMA
 * query_only). store/table.c says what the table is, store/changes.c when it or the schema has
 * changed. */
#include "config.h"

#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The first one to open a WAL database needs two, see store_files_note. */
#define OPEN_ATTEMPTS 4

#define STRANGERS_WAIT_MS 300
#define STRANGERS_LOOK_MS 30

static int
open_to_use(struct store *store, enum store_create create)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

    if (create == STORE_CREATE_FILE)
        flags |= SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(store->path, &store->db, flags, NULL);
    if (code == SQLITE_CANTOPEN && store->mode == STORE_READ) {
        sqlite3_close(store->db);
        code = sqlite3_open_v2(store->path, &store->db,
                               SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    }
    return code;
}

/* Before it is opened, so that a change after it is seen. */
static void
note_file(struct store *store)
{
    struct stat st;

    if (!store->is_replica || stat(store->path, &st) != 0)
        return;
    store->changed_at = st.st_mtim;
    store->bytes = st.st_size;
}

/* A connection that goes by no -shm does not see that its file was changed. */
static bool
was_changed_past_us(const struct store *store)
{
    struct stat st;

    return store->is_replica && store->is_alone && stat(store->path, &st) == 0 &&
           (st.st_mtim.tv_sec != store->changed_at.tv_sec ||
            st.st_mtim.tv_nsec != store->changed_at.tv_nsec || st.st_size != store->bytes);
}

/* SQLite 3.38 to 3.40 mark their own JSON functions as unsafe: where no schema is trusted, a
 * database with an index on json_extract() could not be read at all. */
static bool
may_distrust_schema(void)
{
    sqlite3 *db = NULL;
    bool may = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                               NULL) == SQLITE_OK;

    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    may = may && sqlite3_exec(db, "CREATE VIEW v AS SELECT json_array(1); SELECT * FROM v",
                              NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(db);
    return may;
}

enum store_result
store_open_file(struct store *store, const struct store_config *config,
                enum store_create create, struct error *error)
{
    *store = (struct store){.mode = config->mode,
                            .max_event_bytes = config->max_event_bytes,
                            .is_replica = config->is_replica,
                            .data_version = -1,
                            .synchronous = -1};
    store->path = strdup(config->path);
    if (store->path == NULL) {
        error_set(error, "%s: out of memory", config->path);
        return STORE_FAILED;
    }
    enum store_result result = store_check_path(store, create, error);
    if (result != STORE_OK)
        return result;

    note_file(store);
    int code = store->mode == STORE_INSPECT || store->is_replica
                   ? store_open_to_look(store)
                   : open_to_use(store, create);
    if (code != SQLITE_OK)
        return store_fail(store, code, "open it", error);
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, config->busy_ms);
    /* The last connection to close checkpoints the WAL and removes it, by its path. A reader has no
     * business to; and were the files moved about, it would be the WAL of another database. */
    if (store->mode != STORE_WRITE || config->keep_wal)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (store->mode != STORE_WRITE) {
        /* The schema is another's: no function or table in it with side effects is run for us. */
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        if (may_distrust_schema())
            sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        /* A small cache: every commit of another connection empties it, and a replay reads each
         * page once. No temporary files: a confined process cannot make any. */
        return store_execute(store,
                             "PRAGMA query_only = 1; PRAGMA cache_size = -512; "
                             "PRAGMA temp_store = MEMORY",
                             "open it", error);
    }
    if (create == STORE_CREATE_NEVER)
        return store_execute(store, "PRAGMA temp_store = MEMORY", "open it", error);
    return STORE_OK;
}

/* --- open ---------------------------------------------------------------------------- */

void
store_find_wal_index(struct store *store)
{
    enum store_result ignored;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_JOURNAL_MODE, &ignored, NULL);

    store->wal_index = NULL;
    if (statement == NULL)
        return;
    const char *mode = sqlite3_step(statement) == SQLITE_ROW
                           ? (const char *)sqlite3_column_text(statement, 0)
                           : NULL;
    if (mode != NULL && strcmp(mode, "wal") == 0 && store->mode == STORE_READ &&
        !store->is_alone)
        store_wal_index_find(store);
    sqlite3_reset(statement);
}

enum store_result
store_open_table(struct store *store, const char *table, struct error *error)
{
    store->fault.text[0] = '\0';
    store->prune_keep = 0; /* its cut is of the table before */
    memset(store->has, 0, sizeof store->has);
    enum store_result result = store_begin_read(store, error);
    if (result == STORE_OK)
        result = store_ask_number(store, "PRAGMA schema_version", NULL,
                                  &store->schema_cookie, error);
    if (result == STORE_OK)
        result = store_learn_table(store, table, error);
    if (result == STORE_OK)
        store_find_wal_index(store);
    store_end_read(store);
    return result;
}

static enum store_result
ask_journal(struct store *store, enum store_files_of *of, struct error *error)
{
    bool is_wal = false;
    enum store_result result = store_ask_is_wal(store, &is_wal, error);

    /* doctor's connection may do without the two others: see store/inspect.c. */
    *of = is_wal && store->mode != STORE_INSPECT && !store->is_alone
              ? STORE_FILES_OF_WAL
              : STORE_FILES_OF_ROLLBACK;
    return result;
}

/* After the first read, which opens -wal and -shm. What SQLite has opened must be what was
 * looked at before. */
static enum store_result
note_files(struct store *store, bool *has_moved, struct error *error)
{
    int moved = 0;
    enum store_files_of of;
    enum store_result result = ask_journal(store, &of, error);

    if (result != STORE_OK)
        return result;
    bool is_known =
        store_files_note(&store->files, sqlite3_db_filename(store->db, "main"), of);
    store_files_note_wal(&store->files);
    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    *has_moved = !is_known || moved != 0 || store_has_moved(store);
    if (!*has_moved)
        return STORE_OK;
    /* What is made by this attempt stays, to be found by the next one. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    error_set(error, "%s was moved or replaced while it was being opened: repeat",
              store->path);
    return STORE_BUSY;
}

/* Before anything is written: who opens the database later finds what we have open. Another one
 * that is about to open it looks like a stranger for a moment. */
static enum store_result
check_strangers(struct store *store, int busy_ms, struct error *error)
{
    struct store_device device = {""};
    int patience_ms = busy_ms < STRANGERS_WAIT_MS ? busy_ms : STRANGERS_WAIT_MS;

    while (store_has_strangers(store, &device, error)) {
        if (patience_ms <= 0)
            return busy_ms > 0 ? STORE_FAILED : STORE_BUSY;
        patience_ms -= STRANGERS_LOOK_MS;
        sqlite3_sleep(STRANGERS_LOOK_MS);
    }
    return STORE_OK;
}

/* *has_moved: STORE_BUSY is for that. The handle must be given to store_close whatever the
 * result. */
static enum store_result
try_open(struct store *store, const struct store_config *config, bool *has_moved,
         struct error *error)
{
    const char *table = config->table != NULL ? config->table : STORE_DEFAULT_TABLE;

    enum store_result result = store_open_file(store, config, STORE_CREATE_NEVER, error);
    if (result == STORE_OK)
        result = store_prepare_reading(store, error);
    if (result == STORE_OK)
        result = store_open_table(store, table, error);
    if (result == STORE_OK)
        result = note_files(store, has_moved, error);
    if (result == STORE_OK && store->mode == STORE_WRITE)
        result = check_strangers(store, config->busy_ms, error);
    return result;
}

/* NULL with *has_moved: it is worth another attempt at once. */
static struct store *
open_once(const struct store_config *config, bool *busy, bool *has_moved,
          struct error *error)
{
    struct store *store = malloc(sizeof *store);

    *busy = false;
    *has_moved = false;
    if (store == NULL) {
        error_set(error, "%s: out of memory", config->path);
        return NULL;
    }
    enum store_result result = try_open(store, config, has_moved, error);
    if (result == STORE_OK)
        return store;
    *busy = result == STORE_BUSY;
    store_close(store);
    return NULL;
}

struct store *
store_open(const struct store_config *config, bool *busy, struct error *error)
{
    struct store *store = NULL;
    bool is_busy = false;
    bool has_moved = true;

    for (int i = 0; i < OPEN_ATTEMPTS && has_moved; i++)
        store = open_once(config, &is_busy, &has_moved, error);
    if (busy != NULL)
        *busy = is_busy;
    return store;
}

void
store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_finalize_all(store);
    /* As the last one SQLite would copy the WAL into the database and remove it, by its name: not
     * when another one's may be there. */
    if (store->db != NULL && store->files.path[0] != '\0' && store_has_moved(store))
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(store->db);
    free(store->table);
    free(store->path);
    free(store);
}

/* --- what is open ------------------------------------------------------------------- */

bool
store_ignores_keys(const struct store *store)
{
    return store->has[COLUMN_COLLAPSE_KEY] && !store->can_collapse;
}

const char *
store_fault(const struct store *store)
{
    return store->fault.text[0] != '\0' ? store->fault.text : NULL;
}

struct sqlite3 *
store_connection(const struct store *store)
{
    return store->db;
}

const char *
store_path(const struct store *store)
{
    return store->path;
}

const char *
store_table(const struct store *store)
{
    return store->table;
}

int64_t
store_schema_cookie(const struct store *store)
{
    return store->schema_cookie;
}

bool
store_has_moved(struct store *store)
{
    return store_files_have_moved(&store->files, store->path) || was_changed_past_us(store);
}

const struct store_files *
store_opened_files(const struct store *store)
{
    return &store->files;
}

bool
store_has_strangers(const struct store *store, struct store_device *device,
                    struct error *error)
{
    return store_files_have_strangers(&store->files, device, error);
}

enum store_result
store_check_wal(struct store *store, struct error *error)
{
    if (!store_files_wal_shrank(&store->files))
        return STORE_OK;
    return store_probe(store, error);
}

enum store_result
store_check_files(struct store *store, struct error *error)
{
    store->refusal[0] = '\0';
    if (store->files.path[0] == '\0')
        return STORE_OK; /* a new one, that `rowcast init` is making */
    if (store_has_moved(store)) {
        error_set(error,
                  "%s, its -wal or its -shm was removed or replaced: nothing is written to "
                  "what is open: repeat",
                  store->path);
        return STORE_BUSY;
    }
    if (store_files_have_two_names(store->path, error))
        return STORE_FAILED;
    bool is_within = sqlite3_get_autocommit(store->db) == 0;
    return is_within ? STORE_OK : store_check_wal(store, error);
}
