/* track.c - `rowcast track` and `rowcast untrack`: a table of the application whose changes become
 * notifications. track/track.h does the work; here are the options and what is said. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/track.h"

struct settings {
    struct cmd_database database;
    const char *key;
    const char *columns;
    const char *channel;
    const char *channel_column;
    const char *recipient;
    const char *where;
    bool print;
    bool list;
    char *copies[2]; /* of key and columns, to be cut into names */
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(key, "key", OPTION_TEXT, .value_name = "COLUMNS",
           .help =
               "by which a row is known, as in id or shop,number; else the primary key"),
    OPTION(columns, "columns", OPTION_TEXT, .value_name = "COLUMNS",
           .help = "what readers get of a row; else all but BLOBs"),
    OPTION(channel, "channel", OPTION_TEXT, .value_name = "NAME",
           .help = "the channel of all rows; else the table's name"),
    OPTION(channel_column, "channel-column", OPTION_TEXT, .value_name = "COLUMN",
           .help = "the column that holds each row's channel"),
    OPTION(recipient, "recipient", OPTION_TEXT, .value_name = "COLUMN",
           .help = "the column that holds the user who alone may see the row"),
    OPTION(where, "where", OPTION_TEXT, .value_name = "EXPR",
           .help = "only rows for which this SQL expression of the columns is true"),
    OPTION(print, "print", OPTION_FLAG, .help = "print the SQL and change nothing"),
    OPTION(list, "list", OPTION_FLAG,
           .help =
               "show what is tracked; exit 1 if something does not fit its table any more"),
    {.name = NULL},
};

const struct command cmd_track_command = {
    .name = "track",
    .operands = "[TABLE]",
    .summary =
        "Makes triggers on a table of the application, so that every change of it by any "
        "program becomes a notification; run again, it brings them up to date.",
    .options = options,
    .max_operands = 1,
};

static struct store *
open_store(const struct cmd_database *database, enum store_mode mode, struct error *error)
{
    struct store_config config = {.path = database->db,
                                  .table = database->table,
                                  .mode = mode,
                                  .busy_ms = CMD_BUSY_MS};
    return store_open(&config, NULL, error);
}

/* --- track TABLE ---------------------------------------------------------------------- */

/* "id, state" as two names, cut out of the copy of the option's text; NULL: not given. */
static int
split_names(char *copy, const char *option, struct text_list *names, struct error *error)
{
    char *rest = NULL;

    for (char *name = copy != NULL ? strtok_r(copy, ", ", &rest) : NULL; name != NULL;
         name = strtok_r(NULL, ", ", &rest)) {
        if (names->count == TEXT_LIST_MAX)
            return error_set(error, "--%s: more than %d names", option, TEXT_LIST_MAX);
        names->items[names->count++] = name;
    }
    if (copy != NULL && names->count == 0)
        return error_set(error, "--%s: names columns, as in id,state", option);
    return 0;
}

static int
make_request(const struct settings *settings, const char *table,
             struct track_request *request, struct error *error)
{
    char *const *copies = settings->copies;
    *request = (struct track_request){.table = table,
                                      .channel = settings->channel,
                                      .channel_column = settings->channel_column,
                                      .recipient = settings->recipient,
                                      .where = settings->where};
    if (settings->channel != NULL && settings->channel_column != NULL)
        return error_set(error, "--channel and --channel-column exclude each other");
    if (split_names(copies[0], "key", &request->key, error) != 0)
        return -1;
    return split_names(copies[1], "columns", &request->columns, error);
}

/* The text and a line end; CMD_FAILED with a word when it cannot be written. */
static int
print_text(const struct buf *text, const char *end)
{
    struct error error;

    if (printf("%.*s%s", (int)text->len, text->p != NULL ? text->p : "", end) >= 0 &&
        fflush(stdout) == 0)
        return CMD_OK;
    error_set(&error, "the output could not be written: %s", strerror(errno));
    return cmd_fail(cmd_track_command.name, &error);
}

static int
print_sql(const struct settings *settings, const struct track_request *request)
{
    struct error error;
    struct buf sql = {0};
    struct store *store = open_store(&settings->database, STORE_READ, &error);
    int code = CMD_FAILED;

    if (store == NULL || track_print(store, request, &sql, &error) != STORE_OK)
        cmd_fail(cmd_track_command.name, &error);
    else
        code = print_text(&sql, "");
    store_close(store);
    buf_fini(&sql);
    return code;
}

static int
track_table(const struct settings *settings, const struct track_request *request)
{
    static const char *const words[] = {
        [TRACK_MADE] = "is tracked now",
        [TRACK_RENEWED] = "is up to date again",
        [TRACK_WAS_THERE] = "is up to date",
    };
    struct error error;
    struct buf said = {0};
    enum track_outcome outcome;
    struct store *store = open_store(&settings->database, STORE_WRITE, &error);
    int code = CMD_FAILED;

    if (store == NULL || track_apply(store, request, &outcome, &said, &error) != STORE_OK) {
        cmd_fail(cmd_track_command.name, &error);
    } else {
        printf("%s: %s: ", request->table, words[outcome]);
        code = print_text(&said, "\n");
    }
    store_close(store);
    buf_fini(&said);
    return code;
}

/* --- track --list --------------------------------------------------------------------- */

struct list {
    size_t misfits;
};

static void
list_finding(void *arg, const struct track_finding *finding)
{
    struct list *list = arg;

    printf("%s: %s%s\n", finding->name,
           finding->fits ? "" : "does not fit: ", finding->text);
    list->misfits += finding->fits ? 0 : 1;
}

static int
list_tables(const struct settings *settings)
{
    struct list list = {0};
    struct error error;
    struct store *store = open_store(&settings->database, STORE_READ, &error);
    int code = CMD_FAILED;

    if (store == NULL || track_compare(store, list_finding, &list, &error) != STORE_OK)
        cmd_fail(cmd_track_command.name, &error);
    else
        code = print_text(&(struct buf){0}, "");
    store_close(store);
    return code == CMD_OK && list.misfits > 0 ? CMD_FAILED : code;
}

static bool
asks_for_options(const struct settings *settings)
{
    return settings->key != NULL || settings->columns != NULL ||
           settings->channel != NULL || settings->channel_column != NULL ||
           settings->recipient != NULL || settings->where != NULL || settings->print;
}

static int
run_request(struct settings *settings, const char *table)
{
    struct track_request request;
    struct error error;
    int code;

    settings->copies[0] = settings->key != NULL ? strdup(settings->key) : NULL;
    settings->copies[1] = settings->columns != NULL ? strdup(settings->columns) : NULL;
    if (make_request(settings, table, &request, &error) != 0)
        code = cmd_usage(cmd_track_command.name, &error);
    else
        code = settings->print ? print_sql(settings, &request)
                               : track_table(settings, &request);
    free(settings->copies[0]);
    free(settings->copies[1]);
    return code;
}

int
cmd_track(char **argv)
{
    struct settings settings = {0};
    const char *operands[2];
    struct error error;

    int code = cmd_parse(&cmd_track_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    if (settings.list && (operands[0] != NULL || asks_for_options(&settings))) {
        error_set(&error,
                  "--list takes no table and no other option than --db and --table");
        return cmd_usage(cmd_track_command.name, &error);
    }
    if (settings.list)
        return list_tables(&settings);
    if (operands[0] == NULL) {
        error_set(&error, "which table? Name one, or give --list");
        return cmd_usage(cmd_track_command.name, &error);
    }
    return run_request(&settings, operands[0]);
}

/* --- untrack TABLE -------------------------------------------------------------------- */

struct untrack_settings {
    struct cmd_database database;
};

static const struct option untrack_options[] = {
    CMD_DATABASE_OPTIONS(struct untrack_settings),
    {.name = NULL},
};

const struct command cmd_untrack_command = {
    .name = "untrack",
    .operands = "TABLE",
    .summary = "Takes the triggers of `rowcast track` away again; the notifications stay.",
    .options = untrack_options,
    .max_operands = 1,
};

static int
untrack_table(const struct untrack_settings *settings, const char *table)
{
    struct error error;
    bool found = false;
    struct store *store = open_store(&settings->database, STORE_WRITE, &error);
    enum store_result result =
        store != NULL ? track_remove(store, table, &found, &error) : STORE_FAILED;

    store_close(store);
    if (result != STORE_OK)
        return cmd_fail(cmd_untrack_command.name, &error);
    if (found)
        printf("%s: is no longer tracked\n", table);
    else
        printf("%s: was not tracked\n", table);
    return print_text(&(struct buf){0}, "");
}

int
cmd_untrack(char **argv)
{
    struct untrack_settings settings = {0};
    const char *operands[2];
    struct error error;

    int code = cmd_parse(&cmd_untrack_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    if (operands[0] == NULL) {
        error_set(&error, "which table?");
        return cmd_usage(cmd_untrack_command.name, &error);
    }
    return untrack_table(&settings, operands[0]);
}
