/* apply.c - makes and takes away: what `rowcast track` and `rowcast untrack` do.
 *
 * Everything is one text of SQL, which is run in one transaction or printed, so that what
 * --print shows is what is done. When it is already so, nothing is written: the schema does not
 * change, and no program has to prepare its statements again. */
#include "config.h"

#include "track/internal.h"

#include <stdlib.h>
#include <string.h>

#define TRACKING "track the table"
#define UNTRACKING "untrack the table"

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

/* What is to be, beside what is. */
struct plan {
    struct track *track;
    bool was_tracked;
    char *old_definition; /* the statement that would write it; NULL: none */
    char *old_reset;      /* the event for readers of that one; NULL: none */
};

static void
plan_fini(struct plan *plan)
{
    track_free(plan->track);
    sqlite3_free(plan->old_definition);
    sqlite3_free(plan->old_reset);
}

static char *
definition_text(const struct track_definition *definition)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    track_definition_put(definition, sql);
    return sqlite3_str_finish(sql);
}

/* *text: the event for readers of that definition, for sqlite3_free. */
static enum store_result
reset_text(struct store *store, const struct track_definition *definition, char **text,
           struct error *error)
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
    return *text != NULL ? STORE_OK : store_fail(store, SQLITE_NOMEM, TRACKING, error);
}

static enum store_result
read_old(struct store *store, const struct track_table *table,
         struct track_definition *definition, struct plan *plan, struct error *error)
{
    enum store_result result = track_definition_read(store, slice_of(table->name),
                                                     definition, &plan->was_tracked, error);
    if (result != STORE_OK)
        return result;
    if (plan->was_tracked) {
        plan->old_definition = definition_text(definition);
        result = reset_text(store, definition, &plan->old_reset, error);
    } else {
        definition->default_key = true;
        definition->default_columns = true;
    }
    /* As the table spells it now; a name in other letters is the same table. */
    return take_text(&definition->name, table->name) &&
                   take_text(&definition->notification, store_table(store))
               ? STORE_OK
               : store_fail(store, SQLITE_NOMEM, TRACKING, error);
}

static enum store_result
plan_table(struct store *store, const struct track_request *request,
           struct track_table *table, struct plan *plan, struct error *error)
{
    struct track_definition definition = {0};
    enum store_result result = read_old(store, table, &definition, plan, error);

    if (result == STORE_OK && !take_request(&definition, request))
        result = store_fail(store, SQLITE_NOMEM, TRACKING, error);
    if (result == STORE_OK)
        result = track_fill(store, &definition, table, error);
    if (result == STORE_OK)
        return track_bind(store, &definition, table, &plan->track, error);
    track_definition_fini(&definition);
    track_table_fini(table);
    return result;
}

static enum store_result
make_plan(struct store *store, const struct track_request *request, struct plan *plan,
          struct error *error)
{
    struct track_table table = {0};
    bool found;

    *plan = (struct plan){0};
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

/* --- the statements ------------------------------------------------------------------------- */

static void
put_drop_triggers(sqlite3_str *sql, const char *name)
{
    for (size_t i = 0; i < TRACK_TRIGGERS; i++) {
        char *trigger = track_trigger_name(name, i);
        sqlite3_str_appendf(sql, "DROP TRIGGER IF EXISTS \"%w\";\n", trigger);
        sqlite3_free(trigger);
    }
}

/* False: out of memory. */
static bool
put_triggers(sqlite3_str *sql, const struct track *track)
{
    for (size_t i = 0; i < TRACK_TRIGGERS; i++) {
        bool needed;
        char *text = track_trigger_text(track, i, &needed);
        if (text == NULL)
            return false;
        if (needed)
            sqlite3_str_appendf(sql, "%s;\n", text);
        sqlite3_free(text);
    }
    return true;
}

/* For those who have what is tracked from now on, and for those who had what was until now, where
 * these are on other channels. */
static void
put_resets(sqlite3_str *sql, const struct plan *plan)
{
    sqlite3_str *now = sqlite3_str_new(NULL);

    track_put_reset(now, &plan->track->definition, plan->track);
    char *text = sqlite3_str_finish(now);
    if (plan->old_reset != NULL && (text == NULL || strcmp(text, plan->old_reset) != 0))
        sqlite3_str_appendall(sql, plan->old_reset);
    sqlite3_str_appendall(sql, text != NULL ? text : "");
    sqlite3_free(text);
}

/* All of it, for sqlite3_free; NULL: out of memory. */
static char *
plan_text(const struct plan *plan)
{
    const struct track *track = plan->track;
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendall(sql, track_schema);
    put_drop_triggers(sql, track->definition.name);
    sqlite3_str_appendf(sql, "DELETE FROM rowcast_track_replaced WHERE source = %Q;\n",
                        track->definition.name);
    track_definition_put(&track->definition, sql);
    bool done = put_triggers(sql, track);
    put_resets(sql, plan);
    if (!done || sqlite3_str_errcode(sql) != SQLITE_OK) {
        sqlite3_free(sqlite3_str_finish(sql));
        return NULL;
    }
    return sqlite3_str_finish(sql);
}

/* --- track ---------------------------------------------------------------------------------- */

/* Whether definition and triggers are already what they are to be. */
static enum store_result
is_in_place(struct store *store, const struct plan *plan, bool *same, struct error *error)
{
    char *text = definition_text(&plan->track->definition);
    struct track_differences found;

    *same = text != NULL && plan->old_definition != NULL &&
            strcmp(text, plan->old_definition) == 0;
    sqlite3_free(text);
    if (!*same)
        return STORE_OK;
    enum store_result result = track_compare_triggers(store, plan->track, &found, error);
    *same = found.wrong == 0;
    return result;
}

static enum store_result
run_plan(struct store *store, const struct plan *plan, enum track_outcome *outcome,
         struct error *error)
{
    bool same;
    enum store_result result = is_in_place(store, plan, &same, error);

    if (result != STORE_OK)
        return result;
    *outcome = same ? TRACK_WAS_THERE : plan->was_tracked ? TRACK_RENEWED : TRACK_MADE;
    if (same)
        return STORE_OK;
    char *text = plan_text(plan);
    if (text == NULL)
        return store_fail(store, SQLITE_NOMEM, TRACKING, error);
    result = store_execute(store, text, TRACKING, error);
    sqlite3_free(text);
    return result;
}

enum store_result
track_apply(struct store *store, const struct track_request *request,
            enum track_outcome *outcome, struct buf *said, struct error *error)
{
    struct plan plan = {0};
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = make_plan(store, request, &plan, error);
    if (result == STORE_OK)
        result = run_plan(store, &plan, outcome, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result == STORE_OK)
        track_describe(plan.track, said);
    else
        store_rollback(store);
    plan_fini(&plan);
    return result;
}

/* The query of the state, as a comment: what readers have in the end. */
static void
append_state(struct buf *sql, const struct track *track)
{
    char *text = track_state_text(track, TRACK_FROM_START);

    buf_append_text(sql, "\n-- The rows as the events have them:\n--\n");
    for (const char *p = text != NULL ? text : ""; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        buf_append_text(sql, "-- ");
        buf_append(sql, p, len);
        buf_append_text(sql, "\n");
        p += len + (p[len] == '\n' ? 1 : 0);
    }
    track_free_text(text);
}

enum store_result
track_print(struct store *store, const struct track_request *request, struct buf *sql,
            struct error *error)
{
    struct plan plan = {0};
    enum store_result result = store_begin_read(store, error);

    if (result == STORE_OK)
        result = make_plan(store, request, &plan, error);
    if (result == STORE_OK) {
        char *text = plan_text(&plan);
        buf_append_text(sql, "BEGIN IMMEDIATE;\n");
        buf_append_text(sql, text != NULL ? text : "");
        buf_append_text(sql, "COMMIT;\n");
        append_state(sql, plan.track);
        if (text == NULL || sql->failed)
            result = store_fail(store, SQLITE_NOMEM, TRACKING, error);
        sqlite3_free(text);
    }
    store_end_read(store);
    plan_fini(&plan);
    return result;
}

/* --- untrack -------------------------------------------------------------------------------- */

/* Readers learn it by the reset: what they ask for then is refused. */
static enum store_result
remove_name(struct store *store, const struct track_definition *definition,
            struct error *error)
{
    char *reset;
    enum store_result result = reset_text(store, definition, &reset, error);
    if (result != STORE_OK)
        return result;
    sqlite3_str *sql = sqlite3_str_new(NULL);

    put_drop_triggers(sql, definition->name);
    sqlite3_str_appendf(sql,
                        "DELETE FROM rowcast_track_replaced WHERE source = %Q;\n"
                        "DELETE FROM rowcast_track WHERE name = %Q;\n%s",
                        definition->name, definition->name, reset);
    sqlite3_free(reset);
    char *text = sqlite3_str_finish(sql);
    result = text != NULL ? store_execute(store, text, UNTRACKING, error)
                          : store_fail(store, SQLITE_NOMEM, UNTRACKING, error);
    sqlite3_free(text);
    return result;
}

enum store_result
track_remove(struct store *store, const char *table, bool *found, struct error *error)
{
    struct track_definition definition = {0};
    enum store_result result = store_begin_write(store, error);

    *found = false;
    if (result == STORE_OK)
        result = track_definition_read(store, slice_of(table), &definition, found, error);
    if (result == STORE_OK && *found)
        result = remove_name(store, &definition, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result != STORE_OK)
        store_rollback(store);
    track_definition_fini(&definition);
    return result;
}
