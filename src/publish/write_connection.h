/* write_connection.h - the one connection of this process that may write.
 *
 * For publish/writer.c, in its thread. It is open to the same files as the reader's connection, or
 * not at all: the gate (store/gate.h) shuts while the reader reopens the database, and then this
 * connection closes. */
#ifndef ROWCAST_PUBLISH_WRITE_CONNECTION_H
#define ROWCAST_PUBLISH_WRITE_CONNECTION_H

#include "base/error.h"
#include "store/gate.h"
#include "store/store.h"

struct write_connection {
    const char *path, *table; /* of the writer's configuration */
    struct store_gate *gate;
    struct store *store; /* NULL: it is not open */
};

/* Makes sure that it is open and may be used now. STORE_BUSY: not yet, ask again; STORE_FAILED:
 * with *error. Waits for no lock. */
enum store_result write_connection_check(struct write_connection *connection,
                                         struct error *error);

/* Nothing if it is not open. */
void write_connection_close(struct write_connection *connection);

#endif
