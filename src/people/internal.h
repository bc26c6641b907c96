/* internal.h - what the files of people/ that have SQL share; no other file includes it.
 *
 * Each statement is prepared for one use and finalized in the same function: the connection
 * belongs to the store, which may close it between two calls. */
#ifndef ROWCAST_PEOPLE_INTERNAL_H
#define ROWCAST_PEOPLE_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/connection.h"
#include "store/store.h"

/* Whether the database has that table: one of an older version, or a foreign one, has none. */
enum store_result people_has_table(struct store *store, const char *name, bool *has,
                                   struct error *error);

#endif
