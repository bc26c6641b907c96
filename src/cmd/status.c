/* status.c - `rowcast status`: streams, users, channels, lag, tail, retention, push, as a table or
 * as JSON.
 *
 * From a running server (--url: its own counters, which only it has) or from the database (--db:
 * what presence, marks and subscriptions say). Both are a JSON object, which is printed by one list
 * of titles: that of the measures, and what only a database knows. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/status_url.h"
#include "cmd/terminal.h"
#include "people/overview.h"
#include "serve/measures.h"

#define CHANNELS_SHOWN 20
#define CLEAR "\033[H\033[2J"

struct settings {
    struct cmd_database database;
    const char *url;
    bool json;
    bool watch;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(url, "url", OPTION_TEXT, .value_name = "URL", .has_no_variable = true,
           .help = "of a running server's status, as in http://localhost/events/status"),
    OPTION(json, "json", OPTION_FLAG, .help = "print a JSON object on one line"),
    OPTION(watch, "watch", OPTION_FLAG, .help = "print it again each second, until Ctrl-C"),
    {.name = NULL},
};

const struct command cmd_status_command = {
    .name = "status",
    .operands = "",
    .summary =
        "Prints who is connected and how it goes: from a running server with --url, or "
        "from the database.",
    .options = options,
};

/* --- getting it ------------------------------------------------------------------------- */

static int
read_database(const struct settings *settings, struct buf *text, struct error *error)
{
    struct store_config config = {.path = settings->database.db,
                                  .table = settings->database.table,
                                  .mode = STORE_INSPECT,
                                  .busy_ms = CMD_BUSY_MS};
    struct store *store = store_open(&config, NULL, error);
    if (store == NULL)
        return -1;
    enum store_result result = overview_append(text, store, cmd_now_ms(), error);
    store_close(store);
    return result == STORE_OK ? 0 : -1;
}

static int
get_status(const struct settings *settings, struct buf *text, struct error *error)
{
    int result = settings->url != NULL ? status_url_get(settings->url, text, error)
                                       : read_database(settings, text, error);
    if (result == 0 && text->failed)
        return error_set(error, "out of memory");
    return result;
}

/* --- printing it ------------------------------------------------------------------------ */

/* What has no row in the table of measures. */
static const struct {
    const char *key, *title;
} more_titles[] = {
    {"feed_lag_ms", "behind the database, ms"},
    {"low_water", "deleted up to id"},
    {"rows_kept", "rows kept"},
    {"workers", "workers"},
    {"revocations", "users thrown out"},
    {"push_subscriptions", "push subscriptions"},
    {"push_failing", "of these, failing"},
    {"push_waiting", "of these, to be tried again later"},
    {"database", "database"},
    {"file", "file"},
};

static void
append_value(struct buf *out, const json_t *value)
{
    if (json_is_integer(value))
        buf_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_string(value))
        terminal_append(out, slice_of(json_string_value(value)));
}

static void
append_line(struct buf *out, const char *title, const char *which, const json_t *value)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", title, which[0] == '\0' ? "" : ": ", which);
    if (!json_is_integer(value) && !json_is_string(value))
        return;
    buf_printf(out, "%-34s ", name);
    append_value(out, value);
    buf_append_text(out, "\n");
}

/* A measure with a label is an object of numbers: those that are not 0. */
static void
append_entry(struct buf *out, const json_t *status, const char *key, const char *title)
{
    const char *which;
    json_t *one;
    json_t *value = json_object_get(status, key);
    if (!json_is_object(value)) {
        append_line(out, title, "", value);
        return;
    }
    json_object_foreach(value, which, one)
    {
        if (json_integer_value(one) != 0)
            append_line(out, title, which, one);
    }
}

static void
append_channels(struct buf *out, const json_t *channels)
{
    size_t i;
    json_t *one;
    if (json_array_size(channels) == 0)
        return;
    buf_append_text(out, "\n");
    json_array_foreach(channels, i, one)
    {
        const json_t *count = json_object_get(one, "streams");
        if (count == NULL)
            count = json_object_get(one, "readers");
        if (i == CHANNELS_SHOWN)
            break;
        buf_printf(out, "%10lld  ", (long long)json_integer_value(count));
        append_value(out, json_object_get(one, "channel"));
        buf_append_text(out, "\n");
    }
}

static int
append_table(struct buf *out, const struct buf *text, struct error *error)
{
    json_t *status = json_loadb(text->p, text->len, 0, NULL);
    if (!json_is_object(status)) {
        json_decref(status);
        return error_set(error, "the answer is not the status of rowcast");
    }
    for (size_t i = 0; i < measures_count; i++)
        if (measures_table[i].key != NULL && measures_table[i].title != NULL)
            append_entry(out, status, measures_table[i].key, measures_table[i].title);
    for (size_t i = 0; i < sizeof more_titles / sizeof *more_titles; i++)
        append_entry(out, status, more_titles[i].key, more_titles[i].title);
    append_channels(out, json_object_get(status, "channels"));
    json_decref(status);
    return 0;
}

static int
print_status(const struct settings *settings, const struct buf *text, struct error *error)
{
    struct buf out = {0};
    int result = 0;
    if (settings->watch && !settings->json && isatty(STDOUT_FILENO))
        buf_append_text(&out, CLEAR);
    if (settings->json) {
        buf_append(&out, text->p, text->len);
        if (text->len == 0 || text->p[text->len - 1] != '\n')
            buf_append_text(&out, "\n");
    } else {
        result = append_table(&out, text, error);
    }
    if (result == 0 &&
        (fwrite(out.p, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
        result = error_set(error, "cannot write: %s", strerror(errno));
    buf_fini(&out);
    return result;
}

static int
show_once(const struct settings *settings, struct error *error)
{
    struct buf text = {0};
    int result = get_status(settings, &text, error);
    if (result == 0)
        result = print_status(settings, &text, error);
    buf_fini(&text);
    return result;
}

int
cmd_status(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error = {""};
    const struct timespec second = {.tv_sec = 1};
    enum options_result parsed =
        options_parse(&cmd_status_command, argv, &settings, operands, &error);
    if (parsed == OPTIONS_EXIT)
        return CMD_OK;
    if (parsed == OPTIONS_OK && settings.url == NULL && settings.database.db == NULL) {
        error_set(&error, "of what? Give --url URL, --db FILE or set ROWCAST_DB");
        parsed = OPTIONS_USAGE;
    }
    if (parsed == OPTIONS_USAGE)
        return cmd_usage(cmd_status_command.name, &error);
    signal(SIGPIPE, SIG_IGN); /* the error says it */
    do {
        if (show_once(&settings, &error) != 0)
            return cmd_fail(cmd_status_command.name, &error);
    } while (settings.watch && nanosleep(&second, NULL) == 0);
    return CMD_OK;
}
