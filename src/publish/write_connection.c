/* write_connection.c - opens and closes the writer's connection; see publish/write_connection.h. */
#include "config.h"

#include "publish/write_connection.h"

void
write_connection_close(struct write_connection *connection)
{
    if (connection->store == NULL)
        return;
    store_close(connection->store);
    connection->store = NULL;
    store_gate_leave(connection->gate);
}

/* Opens a connection to the files that the reader has open. */
static enum store_result
open_store(struct write_connection *connection, const struct store_config *config,
           struct error *error)
{
    bool busy = false;
    struct store *store = store_open(config, &busy, error);
    if (store == NULL)
        return busy ? STORE_BUSY : STORE_FAILED;
    if (store_gate_fits(connection->gate, store_opened_files(store))) {
        connection->store = store;
        return STORE_OK;
    }
    store_close(store);
    store_gate_shut(connection->gate);
    error_set(error, "%s was replaced: repeat when it is open again", config->path);
    return STORE_BUSY;
}

/* Not opened just to see that it cannot be written: SQLite keeps the descriptor of a closed
 * connection for as long as another one, the reader's, has locks on the file. */
static enum store_result
open_checked(struct write_connection *connection, struct error *error)
{
    struct store_config config = {.path = connection->path,
                                  .table = connection->table,
                                  .mode = STORE_WRITE,
                                  .keep_wal = true};
    if (store_diagnose_rights(config.path, STORE_WRITE, error))
        return STORE_FAILED;
    if (!store_gate_enter(connection->gate)) {
        error_set(error, "%s is being reopened: repeat", config.path);
        return STORE_BUSY;
    }
    enum store_result result = open_store(connection, &config, error);
    if (result != STORE_OK)
        store_gate_leave(connection->gate);
    return result;
}

enum store_result
write_connection_check(struct write_connection *connection, struct error *error)
{
    struct store_gate *gate = connection->gate;
    if (connection->store != NULL && store_has_moved(connection->store))
        store_gate_shut(gate);
    if (store_gate_is_shut(gate))
        write_connection_close(connection);
    if (!store_gate_may_write(gate, error))
        return STORE_FAILED;
    return connection->store != NULL ? STORE_OK : open_checked(connection, error);
}
