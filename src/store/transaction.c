/* transaction.c - begins and ends transactions, for the files of the store that read and
 * those that write.
 *
 * A read transaction holds back checkpoints, a write transaction every other writer: who begins one
 * ends it in the same function. */
#include "config.h"

#include "store/internal.h"

static enum store_result
run_named(struct store *store, enum store_statement which, const char *doing,
          struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement = store_statement(store, which, &result, error);

    return result != STORE_OK ? result : store_run(store, statement, doing, error);
}

enum store_result
store_begin_read(struct store *store, struct error *error)
{
    return run_named(store, STATEMENT_BEGIN_READ, "begin to read", error);
}

void
store_end_read(struct store *store)
{
    store_rollback(store);
    store_files_note_wal(&store->files);
}

enum store_result
store_begin_write(struct store *store, struct error *error)
{
    enum store_result result = store_check_files(store, error);

    return result != STORE_OK
               ? result
               : run_named(store, STATEMENT_BEGIN_WRITE, "begin to write", error);
}

enum store_result
store_commit(struct store *store, struct error *error)
{
    /* Once more: the transaction may have taken long. */
    enum store_result result = store_check_files(store, error);

    if (result == STORE_OK)
        result = run_named(store, STATEMENT_COMMIT, "commit", error);
    if (result == STORE_OK)
        store_files_note_wal(&store->files);
    return result;
}

void
store_rollback(struct store *store)
{
    /* After some errors (a full disk) SQLite has rolled back already. */
    if (store->db != NULL && sqlite3_get_autocommit(store->db) == 0)
        run_named(store, STATEMENT_ROLLBACK, "roll back", NULL);
}
