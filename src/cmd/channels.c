/* channels.c - `rowcast channels`: which channels there are in the table, with how many rows.
 * Reads only. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "cmd/terminal.h"

struct settings {
    struct cmd_database database;
    bool json;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(json, "json", OPTION_FLAG,
           .help = "print a JSON object a line: channel, rows, last_id"),
    {.name = NULL},
};

const struct command cmd_channels_command = {
    .name = "channels",
    .operands = "",
    .summary =
        "Prints a line for each channel that has rows: how many, the highest id, and "
        "the name.",
    .options = options,
};

struct listing {
    struct buf line;
    bool json;
};

/* store_channel_fn. Names come from any program that writes: what a terminal would obey is made
 * harmless. */
static void
print_channel(void *arg, const struct store_channel *channel)
{
    struct listing *listing = arg;
    struct buf *line = &listing->line;

    buf_clear(line);
    if (listing->json) {
        buf_append_text(line, "{\"channel\":");
        json_append_string(line, channel->name);
        buf_printf(line, ",\"rows\":%" PRId64 ",\"last_id\":\"%" PRId64 "\"}\n",
                   channel->rows, channel->last_id);
    } else {
        buf_printf(line, "%10" PRId64 "  %16" PRId64 "  ", channel->rows, channel->last_id);
        terminal_append(line, channel->name);
        buf_append_text(line, "\n");
    }
    if (!line->failed)
        fwrite(line->p, 1, line->len, stdout);
}

int
cmd_channels(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error;

    int code = cmd_parse(&cmd_channels_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_INSPECT,
                                  .busy_ms = CMD_BUSY_MS};
    struct store *store = store_open(&config, NULL, &error);
    if (store == NULL)
        return cmd_fail(cmd_channels_command.name, &error);
    struct listing listing = {.json = settings.json};
    enum store_result result = store_read_channels(store, print_channel, &listing, &error);
    store_close(store);
    buf_fini(&listing.line);
    if (result == STORE_OK && fflush(stdout) != 0) {
        error_set(&error, "cannot write: %s", strerror(errno));
        result = STORE_FAILED;
    }
    return result == STORE_OK ? CMD_OK : cmd_fail(cmd_channels_command.name, &error);
}
