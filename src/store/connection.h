/* connection.h - the store's SQLite connection, for the subsystems that have tables and
 * statements of their own (track).
 *
 * They run them on this connection and not on one of their own: so that what they read is of
 * the same snapshot as the log, what they write is in the same transaction, and a process has
 * the database open once (store/gate.h). They begin and end transactions with store.h's calls. */
#ifndef ROWCAST_STORE_CONNECTION_H
#define ROWCAST_STORE_CONNECTION_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/store.h"

struct sqlite3;
struct sqlite3_stmt;

/* The connection; the store's own. */
struct sqlite3 *store_connection(const struct store *store);

/* The path as it was given, and the table of notifications as the schema spells it; the store's
 * own. */
const char *store_path(const struct store *store);
const char *store_table(const struct store *store);

/* SQLite's counter of changes of the schema, as it was when the table was last looked at: by
 * store_open, or by store_read_log after a commit. */
int64_t store_schema_cookie(const struct store *store);

/* Prepares a statement that is used once; the caller finalizes it. */
struct sqlite3_stmt *store_prepare_once(struct store *store, const char *sql,
                                        enum store_result *result, struct error *error);

/* Steps a statement that gives no rows (or only one, of no interest), and resets it. `doing` is for
 * the error, as in store_fail. */
enum store_result store_run(struct store *store, struct sqlite3_stmt *statement,
                            const char *doing, struct error *error);

/* Binds a text that outlives the step; a NULL slice is SQL's NULL. */
void store_bind_text(struct sqlite3_stmt *statement, int parameter, struct slice text);

/* Runs statements that give no rows. `doing` is for the error, as in store_fail. */
enum store_result store_execute(struct store *store, const char *sql, const char *doing,
                                struct error *error);

/* The result for SQLite's code, with one line that says what to do. `doing` is as in "cannot
 * read the rows". Asks SQLite for its message: call it before the statement is reset. */
enum store_result store_fail(struct store *store, int code, const char *doing,
                             struct error *error);

#endif
