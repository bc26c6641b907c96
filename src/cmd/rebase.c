/* rebase.c - `rowcast rebase`: after a backup was restored, moves the ids past all that may
 * have been handed out since, and prints the new base. Readers that have such an id are then
 * get a reset, instead of taking another row for the one that they have seen. */
#include "config.h"

#include "cmd/cmd.h"

/* A slip of the hand must not leave the table without ids. */
#define IDS_LEFT (INT64_C(1) << 40)

struct settings {
    struct cmd_database database;
    int64_t above;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(above, "above", OPTION_COUNT, .min = 0, .max = ROW_ID_MAX - IDS_LEFT,
           .value_name = "ID",
           .help = "an id known to have been in use, where ids outran the clock"),
    {.name = NULL},
};

const struct command cmd_rebase_command = {
    .name = "rebase",
    .operands = "",
    .summary = "After restoring a backup: moves the ids past every id ever handed out (the "
               "Unix time in milliseconds, all ids in the file, and --above).",
    .options = options,
};

int
cmd_rebase(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error;
    int64_t base;

    int code = cmd_parse(&cmd_rebase_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    if (store_check_leftovers(settings.database.db, &error) != 0 ||
        store_rebase(&config, settings.above, &base, &error) != 0)
        return cmd_fail(cmd_rebase_command.name, &error);
    return cmd_print_number(cmd_rebase_command.name, base);
}
