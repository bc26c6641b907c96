/* cmd_init.c - `rowcast init`: creates or migrates the table, in a new file or an application's
 * own database. Says what it did, the switch to WAL above all, as that is the one change that
 * the rest of the database can notice. */
#include "config.h"

#include "cmd.h"

#include <stdio.h>

struct settings {
    struct cmd_database database;
    bool keep_journal;
};

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    {.name = "keep-journal",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct settings, keep_journal),
     .help = "leave the journal mode as it is, do not switch to WAL"},
    {.name = NULL},
};

static const struct command command = {
    .name = "init",
    .operands = "",
    .summary = "Creates or migrates the table of notifications, in a new file or in an "
               "application's existing database, and touches nothing else there.",
    .options = options,
};

static void
report(const struct settings *settings, const struct store_init_result *result)
{
    const struct cmd_database *database = &settings->database;

    if (result->created)
        printf("%s: created table %s\n", database->db, database->table);
    else if (result->migrated_from != 0)
        printf("%s: migrated table %s from schema version %d to %d\n", database->db,
               database->table, result->migrated_from, STORE_SCHEMA_VERSION);
    else
        printf("%s: table %s is up to date\n", database->db, database->table);
    if (result->switched_to_wal)
        printf(
            "%s: switched the journal to WAL, so that readers and writers do not wait for "
            "each other (--keep-journal leaves it)\n",
            database->db);
}

int
cmd_init(int argc, char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct store_init_result result;
    struct error error;
    bool done;

    int code = cmd_parse(&command, argc, argv, &settings.database, operands, &done);
    if (done)
        return code;
    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    enum store_journal journal =
        settings.keep_journal ? STORE_JOURNAL_KEEP : STORE_JOURNAL_WAL;
    if (store_init(&config, journal, &result, &error) != 0)
        return cmd_fail(command.name, &error);
    report(&settings, &result);
    return CMD_OK;
}
