/* tables.c - a cache of tracked tables; see hub/tables.h.
 *
 * To learn a table takes some dozen statements, to read a part of its rows one. What was learnt
 * holds until the schema changes or another database takes the place. */
#include "config.h"

#include "hub/tables.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hub/state.h"
#include "hub/table_part.h"

#define TABLES_MAX 32

struct tables {
    struct track *items[TABLES_MAX]; /* the first `count` */
    size_t count;
    size_t next;    /* the next one to be replaced */
    int64_t schema; /* store_schema_cookie when they were learnt */
    uint32_t epoch; /* the hub's epoch then */
};

struct tables *
tables_new(void)
{
    return calloc(1, sizeof(struct tables));
}

static void
tables_forget(struct tables *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        track_free(tables->items[i]);
    tables->count = 0;
}

void
tables_free(struct tables *tables)
{
    if (tables != NULL)
        tables_forget(tables);
    free(tables);
}

static struct track *
tables_known(const struct tables *tables, const char *name)
{
    for (size_t i = 0; i < tables->count; i++)
        if (strcasecmp(track_name(tables->items[i]), name) == 0)
            return tables->items[i];
    return NULL;
}

/* Adds the table; if there are too many, in the place of the oldest one. */
static void
tables_keep(struct hub *hub, struct track *track)
{
    struct tables *tables = hub->tables;
    if (tables->count < TABLES_MAX) {
        tables->items[tables->count++] = track;
        return;
    }
    struct track **place = &tables->items[tables->next++ % TABLES_MAX];
    table_parts_forget(hub, NULL);
    track_free(*place);
    *place = track;
}

enum store_result
tables_find(struct hub *hub, const char *name, struct track **track, struct error *error)
{
    struct tables *tables = hub->tables;
    struct store *store = feed_store(hub->feed);
    bool is_same = tables->schema == store_schema(store) && tables->epoch == hub->epoch;
    if (!is_same) {
        tables_forget(tables);
        table_parts_forget(hub, NULL); /* the parts point to the tables */
        tables->schema = store_schema(store);
        tables->epoch = hub->epoch;
    }
    *track = tables_known(tables, name);
    if (*track != NULL)
        return STORE_OK;
    enum store_result result = track_load(store, slice_of(name), track, error);
    if (result == STORE_OK && *track != NULL)
        tables_keep(hub, *track);
    return result;
}
