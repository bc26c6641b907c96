/* fill.c - the defaults of a definition: what `rowcast track` takes from the table itself.
 *
 * track/apply.c calls it for a definition that is being made, before track/bind.c joins it with the
 * table. Without --key the primary key is the key, without --columns all columns but BLOBs are
 * carried; the key's columns always are. Names become as the table spells them. It does not refuse
 * a name that the table does not have: track/bind.c does. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>
#include <string.h>

static bool
add_primary_key(struct track_definition *definition, const struct track_table *table)
{
    for (int place = 1; place <= TRACK_COLUMNS_MAX; place++)
        for (size_t i = 0; i < table->count; i++)
            if (table->columns[i].in_primary == place &&
                !track_names_add(&definition->key, table->columns[i].name))
                return false;
    return true;
}

static bool
fill_columns(struct track_definition *definition, const struct track_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        if (!table->columns[i].is_blob &&
            !track_names_add(&definition->columns, table->columns[i].name))
            return false;
    return true;
}

static bool
has_name(const struct track_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (sqlite3_stricmp(names->items[i], name) == 0)
            return true;
    return false;
}

/* The key's columns are always carried: by them a reader of the state knows the rows. Those that
 * are not named come first. */
static bool
add_key_to_columns(struct track_definition *definition)
{
    struct track_names all = {.count = 0};
    bool done = true;

    for (size_t i = 0; done && i < definition->key.count; i++)
        if (!has_name(&definition->columns, definition->key.items[i]))
            done = track_names_add(&all, definition->key.items[i]);
    for (size_t i = 0; done && i < definition->columns.count; i++)
        done = track_names_add(&all, definition->columns.items[i]);
    track_names_fini(done ? &definition->columns : &all);
    if (done)
        definition->columns = all;
    return done;
}

/* As the table spells them. A name that it does not have stays as it is, and track_bind reports
 * it. */
static bool
spell_names(struct track_names *names, const struct track_table *table)
{
    for (size_t i = 0; i < names->count; i++) {
        int at = track_table_find(table, names->items[i]);
        char *name = at >= 0 ? strdup(table->columns[at].name) : NULL;
        if (at >= 0 && name == NULL)
            return false;
        if (at >= 0) {
            free(names->items[i]);
            names->items[i] = name;
        }
    }
    return true;
}

enum store_result
track_fill(struct store *store, struct track_definition *definition,
           const struct track_table *table, struct error *error)
{
    if (definition->key.count == 0 && !add_primary_key(definition, table))
        return store_fail(store, SQLITE_NOMEM, "read the schema", error);
    if (definition->key.count == 0)
        return track_refuse(
            definition, error,
            "the table has no primary key, and without one a row cannot be distinguished "
            "from another: name the columns of a UNIQUE index with --key",
            NULL);
    bool done = definition->columns.count > 0 || fill_columns(definition, table);
    if (done && spell_names(&definition->key, table) &&
        spell_names(&definition->columns, table) && add_key_to_columns(definition))
        return STORE_OK;
    return store_fail(store, SQLITE_NOMEM, "read the schema", error);
}
