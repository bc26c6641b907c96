/* init.c - `rowcast init`: creates, migrates or repairs the table, in a new file or an
 * application's own database. Says what it did, the switch to WAL above all, as that is the one
 * change that the rest of the database can notice. */
#include "config.h"

#include "cmd/cmd.h"

#include <stdio.h>
#include <unistd.h>

#include "cmd/share_with_group.h"

struct settings {
    struct cmd_database database;
    bool keep_journal;
    const char *group; /* NULL: rights are not ours to set */
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(keep_journal, "keep-journal", OPTION_FLAG,
           .help = "leave the journal mode as it is, do not switch to WAL"),
    OPTION(group, "group", OPTION_TEXT, .value_name = "NAME",
           .help = "let the members of a group write and serve: file g+rw, folder g+rwxs"),
    {.name = NULL},
};

const struct command cmd_init_command = {
    .name = "init",
    .operands = "",
    .summary =
        "Creates, migrates or repairs the table of notifications, in a new file or in "
        "an application's existing database, and touches nothing else there.",
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
    else if (result->restored)
        printf("%s: table %s: made again what it had lost\n", database->db,
               database->table);
    else if (result->moved_to == 0)
        printf("%s: table %s is up to date\n", database->db, database->table);
    if (result->moved_to != 0)
        printf("%s: table %s: its ids had gone back, and continue above %lld; readers get "
               "a gap "
               "event (reset)\n",
               database->db, database->table, (long long)result->moved_to);
    if (result->switched_to_wal)
        printf(
            "%s: switched the journal to WAL, so that readers and writers do not wait for "
            "each other (--keep-journal leaves it)\n",
            database->db);
}

/* Asked before anything is made: half of it would be worse than nothing. */
static int
check_group(const struct settings *settings, gid_t *gid, struct error *error)
{
    if (settings->group == NULL)
        return 0;
    if (group_find(settings->group, gid, error) != 0)
        return -1;
    return group_check(settings->database.db, *gid, error);
}

int
cmd_init(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct store_init_result result;
    struct error error;

    int code = cmd_parse(&cmd_init_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    gid_t gid = 0;
    bool is_new = access(settings.database.db, F_OK) != 0;
    if (check_group(&settings, &gid, &error) != 0)
        return cmd_fail(cmd_init_command.name, &error);
    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    enum store_journal journal =
        settings.keep_journal ? STORE_JOURNAL_KEEP : STORE_JOURNAL_WAL;
    if (store_init(&config, journal, &result, &error) != 0)
        return cmd_fail(cmd_init_command.name, &error);
    report(&settings, &result);
    if (settings.group != NULL &&
        (is_new ? group_share_new : group_share)(settings.database.db, gid, &error) != 0)
        return cmd_fail(cmd_init_command.name, &error);
    return CMD_OK;
}
