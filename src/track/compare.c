/* compare.c - whether what is tracked still fits the tables as they are.
 *
 * Called for `rowcast track --list`, by doctor, and by serve when the schema has changed. A
 * program that rebuilds a table (new table, copy, drop, rename) takes the triggers away with
 * the old one, and nothing else would tell: the table's changes would just no longer arrive.
 * The triggers are right when their text is what the generator makes of the definition today. */
#include "config.h"

#include "track/internal.h"

#include <string.h>

#include "base/json.h"

/* --- triggers -----------------------------------------------------------------------------------
 */

/* The text of a trigger on that table or on that of the notes; *text empty: there is none. */
static enum store_result
read_trigger(struct store *store, const char *name, struct buf *text, struct error *error)
{
    enum store_result result;
    sqlite3_stmt *statement =
        store_prepare_once(store,
                           "SELECT sql FROM sqlite_master WHERE type = 'trigger' "
                           "AND name = ?1 COLLATE NOCASE",
                           &result, error);

    buf_clear(text);
    if (result != STORE_OK)
        return result;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        buf_append_text(text, (const char *)sqlite3_column_text(statement, 0));
    else if (code != SQLITE_DONE)
        result = store_fail(store, code, "read the triggers", error);
    buf_append(text, "", 1);
    sqlite3_finalize(statement);
    return result;
}

static enum store_result
compare_trigger(struct store *store, const struct track *track, size_t at,
                struct track_differences *found, struct error *error)
{
    struct buf text = {0};
    bool needed;
    char *name = track_trigger_name(track->definition.name, at);
    char *wanted = track_trigger_text(track, at, &needed);
    enum store_result result =
        name != NULL && wanted != NULL
            ? read_trigger(store, name, &text, error)
            : store_fail(store, SQLITE_NOMEM, "read the triggers", error);

    if (result == STORE_OK && text.failed)
        result = store_fail(store, SQLITE_NOMEM, "read the triggers", error);
    if (result == STORE_OK && strcmp(text.p, wanted) != 0) {
        found->wrong++;
        found->missing += text.p[0] == '\0' ? 1 : 0;
    }
    sqlite3_free(name);
    sqlite3_free(wanted);
    buf_fini(&text);
    return result;
}

enum store_result
track_compare_triggers(struct store *store, const struct track *track,
                       struct track_differences *found, struct error *error)
{
    enum store_result result = STORE_OK;

    *found = (struct track_differences){0};
    for (size_t i = 0; result == STORE_OK && i < TRACK_TRIGGERS; i++)
        result = compare_trigger(store, track, i, found, error);
    return result;
}

/* --- words --------------------------------------------------------------------------------------
 */

static void
describe_names(struct buf *said, const char *what, const struct track_names *names)
{
    buf_append_text(said, what);
    for (size_t i = 0; i < names->count; i++) {
        buf_append_text(said, i == 0 ? " " : ", ");
        buf_append_text(said, names->items[i]);
    }
}

void
track_describe(const struct track *track, struct buf *said)
{
    const struct track_definition *definition = &track->definition;

    describe_names(said, "key", &definition->key);
    describe_names(said, "; columns", &definition->columns);
    if (definition->channel != NULL)
        buf_printf(said, "; channel %s", definition->channel);
    else
        buf_printf(said, "; channel from %s", definition->channel_column);
    if (definition->recipient_column != NULL)
        buf_printf(said, "; recipient from %s", definition->recipient_column);
    if (definition->where != NULL)
        buf_printf(said, "; where %s", definition->where);
}

/* A column that has come since, of a table whose columns are all carried; NULL: none. */
static const char *
new_column(const struct track *track)
{
    if (!track->definition.default_columns)
        return NULL;
    for (size_t i = 0; i < track->table.count; i++) {
        bool carried = track->table.columns[i].is_blob;
        for (size_t j = 0; !carried && j < track->column_count; j++)
            carried = track->columns[j] == i;
        if (!carried)
            return track->table.columns[i].name;
    }
    return NULL;
}

static enum store_result
judge(struct store *store, const struct track *track, struct buf *said, bool *fits,
      struct error *error)
{
    struct track_differences found;
    const char *added = new_column(track);
    enum store_result result = track_compare_triggers(store, track, &found, error);

    *fits = false;
    if (result != STORE_OK)
        return result;
    if (found.wrong > 0 && found.wrong == found.missing)
        buf_append_text(said, "its triggers are gone, as after a migration that copies a "
                              "table, and its changes reach no reader");
    else if (added != NULL)
        buf_printf(said, "column %s was added since", added);
    else if (found.wrong > 0)
        buf_append_text(said, "its triggers are not those that this rowcast makes for the "
                              "table as it is now");
    else
        *fits = true;
    if (*fits)
        track_describe(track, said);
    else
        buf_printf(said, ": run `rowcast track --db %s %s`", store_path(store),
                   track->definition.name);
    return STORE_OK;
}

/* --- all definitions ----------------------------------------------------------------------------
 */

static enum store_result
compare_name(struct store *store, const char *name, track_finding_fn fn, void *arg,
             struct error *error)
{
    struct track *track;
    struct buf said = {0};
    struct track_finding finding = {.name = name};
    struct error misfit = {""};
    enum store_result result = track_load(store, slice_of(name), &track, &misfit);

    if (result == STORE_OK && track != NULL)
        result = judge(store, track, &said, &finding.fits, error);
    else if (result == STORE_REFUSED) {
        buf_printf(
            &said,
            "%s: run `rowcast track --db %s %s` with new options, or `rowcast untrack`",
            misfit.text, store_path(store), name);
        result = STORE_OK;
    } else {
        error_set(error, "%s", misfit.text);
    }
    track_free(track);
    buf_append(&said, "", 1);
    if (result == STORE_OK) {
        finding.text = said.failed ? "out of memory" : said.p;
        fn(arg, &finding);
    }
    buf_fini(&said);
    return result;
}

enum store_result
track_compare(struct store *store, track_finding_fn fn, void *arg, struct error *error)
{
    struct track_names names = {.count = 0};
    enum store_result result = store_begin_read(store, error);

    if (result == STORE_OK)
        result = track_definition_names(store, &names, error);
    for (size_t i = 0; result == STORE_OK && i < names.count; i++)
        result = compare_name(store, names.items[i], fn, arg, error);
    store_end_read(store);
    track_names_fini(&names);
    return result;
}
