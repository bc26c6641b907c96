/* apply.c - makes and takes away: what `rowcast track` and `rowcast untrack` do.
 *
 * cmd/track.c calls it. track/plan.c says what is to be tracked; here the plan becomes SQL.
 * Everything is one text of SQL, which is run in one transaction or printed, so that what --print
 * shows is what is done. When it is already so, nothing is written: the schema does not change,
 * and no program has to prepare its statements again. */
#include "config.h"

#include "track/internal.h"
#include "track/plan.h"

#include <string.h>

#define UNTRACKING "untrack the table"

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
put_resets(sqlite3_str *sql, const struct track_plan *plan)
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
plan_text(const struct track_plan *plan)
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
is_in_place(struct store *store, const struct track_plan *plan, bool *same,
            struct error *error)
{
    char *text = track_definition_text(&plan->track->definition);
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
run_plan(struct store *store, const struct track_plan *plan, enum track_outcome *outcome,
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
        return store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
    result = store_execute(store, text, TRACK_DOING, error);
    sqlite3_free(text);
    return result;
}

enum store_result
track_apply(struct store *store, const struct track_request *request,
            enum track_outcome *outcome, struct buf *said, struct error *error)
{
    struct track_plan plan = {0};
    enum store_result result = store_begin_write(store, error);

    if (result == STORE_OK)
        result = track_plan_make(store, request, &plan, error);
    if (result == STORE_OK)
        result = run_plan(store, &plan, outcome, error);
    if (result == STORE_OK)
        result = store_commit(store, error);
    if (result == STORE_OK)
        track_describe(plan.track, said);
    else
        store_rollback(store);
    track_plan_fini(&plan);
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
    struct track_plan plan = {0};
    enum store_result result = store_begin_read(store, error);

    if (result == STORE_OK)
        result = track_plan_make(store, request, &plan, error);
    if (result == STORE_OK) {
        char *text = plan_text(&plan);
        buf_append_text(sql, "BEGIN IMMEDIATE;\n");
        buf_append_text(sql, text != NULL ? text : "");
        buf_append_text(sql, "COMMIT;\n");
        append_state(sql, plan.track);
        if (text == NULL || sql->failed)
            result = store_fail(store, SQLITE_NOMEM, TRACK_DOING, error);
        sqlite3_free(text);
    }
    store_end_read(store);
    track_plan_fini(&plan);
    return result;
}

/* --- untrack -------------------------------------------------------------------------------- */

/* Readers learn it by the reset: what they ask for then is refused. */
static enum store_result
remove_name(struct store *store, const struct track_definition *definition,
            struct error *error)
{
    char *reset;
    enum store_result result = track_reset_text(store, definition, &reset, error);
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
