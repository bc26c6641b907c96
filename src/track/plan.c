/* plan.c - from what `rowcast track` was asked to what is to be tracked, beside what was until
 * now.
 *
 * track/apply.c makes a plan, within its transaction, and turns it into SQL. The flow: learn the
 * table (track/table.c), read the definition that it has, put what was asked for over it, fill in
 * the defaults (track/fill.c), join both (track/bind.c). An option that is not given stays as it
 * was. Nothing is written here. */
#include "config.h"

#include "track/plan.h"

#include <stdlib.h>
#include <string.h>

/* --- from a request to a definition --------------------------------------------------------- */

/* Replaces *text where something was asked for. False: out of memory. */
static bool
take_text(char **text, const char *asked)
{
    if (asked == NULL)
        return true;
    free(*text);
    *text = strdup(asked);
    return *text != NULL;
}

static void
drop_text(char **text)
{
    free(*text);
    *text = NULL;
}

/* The names that were asked for; or none, to be filled in, where they follow the table. */
static bool
take_names(struct track_names *names, bool *follow, const struct text_list *asked)
{
    if (asked->count > 0)
        *follow = false;
    else if (!*follow)
        return true;
    track_names_fini(names);
    for (size_t i = 0; i < asked->count; i++)
        if (!track_names_add(names, asked->items[i]))
            return false;
    return true;
}

static bool
take_request(struct track_definition *definition, const struct track_request *request)
{
    if (request->channel != NULL)
        drop_text(&definition->channel_column);
    if (request->channel_column != NULL)
        drop_text(&definition->channel);
    if (!take_names(&definition->key, &definition->default_key, &request->key) ||
        !take_names(&definition->columns, &definition->default_columns,
                    &request->columns) ||
        !take_text(&definition->channel, request->channel) ||
        !take_text(&definition->channel_column, request->channel_column) ||
        !take_text(&definition->recipient_column, request->recipient) ||
        !take_text(&definition->where, request->where))
        return false;
    return definition->channel != NULL || definition->channel_column != NULL ||
           take_text(&definition->channel, definition->name);
}

/* One table has one definition, as its triggers have one name. */
static enum store_result
refuse_other_notification(struct store *store, const char *name, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT notification FROM rowcast_track WHERE name = ?1 "
                           "AND notification <> ?2",
                           &result, error);

    if (result != STORE_OK)
        return STORE_OK; /* there is no such table: nothing is tracked */
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, store_table(store), -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        error_set(error, "%s is already tracked for the table %s: untrack it there first",
                  name, (const char *)sqlite3_column_text(statement, 0));
        result = STORE_REFUSED;
    }
    sqlite3_finalize(statement);
    return result;
}

/* --- from a definition to a plan -------------------------------------------------------------- */

void
track_plan_fini(struct track_plan *plan)
{
    track_free(plan->track);
    sqlite3_free(plan->old_definition);
    sqlite3_free(plan->old_reset);
}

char *
track_definition_text(const struct track_definition *definition)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    track_definition_put(definition, sql);
    return sqlite3_str_finish(sql);
}

enum store_result
track_reset_text(struct store *store, const struct track_definition *definition,
                 char **text, struct error *error)
{
    struct track *track;
    struct error misfit;
    enum store_result result =
        track_load(store, slice_of(definition->name), &track, &misfit);

    if (result != STORE_OK && result != STORE_REFUSED) {
        *error = misfit;
        return result;
    }
    sqlite3_str *sql = sqlite3_str_new(NULL);
    track_put_reset(sql, definition, result == STORE_OK ? track : NULL);
    if (result == STORE_OK)
        track_free(track);
    *text = sqlite3_str_finish(sql);
    return *text != NULL ? STORE_OK : store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
}

static enum store_result
read_old(struct store *store, const struct track_table *table,
         struct track_definition *definition, struct track_plan *plan, struct error *error)
{
    enum store_result result = track_definition_read(store, slice_of(table->name),
                                                     definition, &plan->was_tracked, error);
    if (result != STORE_OK)
        return result;
    if (plan->was_tracked) {
        plan->old_definition = track_definition_text(definition);
        result = plan->old_definition != NULL
                     ? track_reset_text(store, definition, &plan->old_reset, error)
                     : store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
    } else {
        definition->default_key = true;
        definition->default_columns = true;
    }
    if (result != STORE_OK)
        return result;
    /* As the table spells it now; a name in other letters is the same table. */
    return take_text(&definition->name, table->name) &&
                   take_text(&definition->notification, store_table(store))
               ? STORE_OK
               : store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
}

static enum store_result
plan_table(struct store *store, const struct track_request *request,
           struct track_table *table, struct track_plan *plan, struct error *error)
{
    struct track_definition definition = {0};
    enum store_result result = read_old(store, table, &definition, plan, error);

    if (result == STORE_OK && !take_request(&definition, request))
        result = store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
    if (result == STORE_OK)
        result = track_fill(store, &definition, table, error);
    if (result == STORE_OK)
        return track_bind(store, &definition, table, &plan->track, error);
    track_definition_fini(&definition);
    track_table_fini(table);
    return result;
}

enum store_result
track_plan_make(struct store *store, const struct track_request *request,
                struct track_plan *plan, struct error *error)
{
    struct track_table table = {0};
    bool found;

    *plan = (struct track_plan){0};
    enum store_result result =
        track_table_read(store, request->table, &table, &found, error);
    if (result == STORE_OK && !found) {
        error_set(error, "%s has no table %s", store_path(store), request->table);
        result = STORE_REFUSED;
    }
    if (result == STORE_OK)
        result = refuse_other_notification(store, table.name, error);
    if (result == STORE_OK)
        return plan_table(store, request, &table, plan, error);
    track_table_fini(&table);
    return result;
}
