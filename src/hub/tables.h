/* tables.h - the tracked tables that streams have asked for, by name, as the schema is now. */
#ifndef ROWCAST_HUB_TABLES_H
#define ROWCAST_HUB_TABLES_H

#include "hub/hub.h"
#include "track/track.h"

struct tables;

/* NULL: out of memory. */
struct tables *tables_new(void);
void tables_free(struct tables *tables);

/* The tracked table of that name, in any case of letters; valid until the next call. Within
 * store_begin_snapshot. *track NULL: nothing of that name is tracked. STORE_REFUSED with *error
 * when its definition does not fit the table any more. */
enum store_result tables_find(struct hub *hub, const char *name, struct track **track,
                              struct error *error);

#endif
