/* follow.c - `rowcast follow`: the log of a site of many machines is in PostgreSQL. --init
 * makes its tables there, --from carries it into this machine's file until a signal comes. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "follow/follow.h"
#include "follow/schema.h"
#include "serve/sd_notify.h"

struct settings {
    struct cmd_database database;
    const char *init;
    bool print;
    const char *from;
    int64_t keep_age_ms;
    int64_t keep_rows;
    const char *metrics;
    int log_level;
    const char *log_to;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(from, "from", OPTION_TEXT, .value_name = "URL",
           .help = "the PostgreSQL database that carries the log"),
    OPTION(init, "init", OPTION_TEXT, .value_name = "URL", .has_no_variable = true,
           .help = "make or update the tables in that PostgreSQL database"),
    OPTION(print, "print", OPTION_FLAG, .has_no_variable = true,
           .help = "with --init: print the SQL instead"),
    OPTION(keep_age_ms, "keep-age", OPTION_AGE, .value_name = "AGE", .fallback = "0",
           .help = "delete older rows in PostgreSQL and in the file; 0: never"),
    OPTION(keep_rows, "keep-rows", OPTION_COUNT, .value_name = "N", .fallback = "0",
           .max = ROW_ID_MAX,
           .help = "delete all but the newest N rows there and here; 0: never"),
    OPTION(metrics, "metrics", OPTION_TEXT, .value_name = "FILE",
           .help = "write figures in the Prometheus text format to that file"),
    OPTION(log_level, "log-level", OPTION_CHOICE, .value_name = "error|warn|info|debug",
           .fallback = "info", .help = "what is logged"),
    OPTION(log_to, "log-to", OPTION_TEXT, .value_name = "WHERE", .fallback = "stderr",
           .help = "stderr, syslog, journal or a file from the root"),
    {.name = NULL},
};

const struct command cmd_follow_command = {
    .name = "follow",
    .operands = "",
    .summary = "For sites of many machines: writes the rows of a table in PostgreSQL into "
               "this machine's file, from which rowcast serve streams.",
    .options = options,
};

/* --- init ------------------------------------------------------------------------------ */

static int
print_schema(const char *table, struct error *error)
{
    struct buf sql = {0};
    int outcome = follow_schema_append(&sql, table, error);

    if (outcome == 0 &&
        (fwrite(sql.p, 1, sql.len, stdout) != sql.len || fflush(stdout) != 0))
        outcome = error_set(error, "cannot print: %s", strerror(errno));
    buf_fini(&sql);
    return outcome;
}

static int
init(const struct settings *settings)
{
    struct error error = {""};
    const char *table = settings->database.table;
    int outcome = settings->print ? print_schema(table, &error)
                                  : follow_schema_apply(settings->init, table, &error);

    if (outcome != 0)
        return cmd_fail(cmd_follow_command.name, &error);
    if (!settings->print)
        printf("table %s is ready, version %d\n", table, FOLLOW_SCHEMA_VERSION);
    return CMD_OK;
}

/* --- from ------------------------------------------------------------------------------ */

static void
on_ready(void *arg)
{
    const struct cmd_database *database = arg;
    notify_following(database->table, database->db);
}

static int
follow(struct settings *settings, struct log *log, struct error *error)
{
    const struct follow_settings config = {.from = settings->from,
                                           .db = settings->database.db,
                                           .table = settings->database.table,
                                           .keep_age_ms = settings->keep_age_ms,
                                           .keep_rows = settings->keep_rows,
                                           .metrics = settings->metrics,
                                           .log = log,
                                           .ready = on_ready,
                                           .arg = &settings->database,
                                           .alive = notify_alive};
    return follow_run(&config, error);
}

static int
follow_logged(struct settings *settings)
{
    struct log log;
    struct error error = {""};
    struct log_config config = {.level = (enum log_level)settings->log_level,
                                .file = settings->log_to};

    if (log_parse_to(settings->log_to, &config.to) != 0) {
        error_set(&error, "--log-to: give stderr, syslog, journal, or a file's path from "
                          "the root");
        return cmd_usage(cmd_follow_command.name, &error);
    }
    int outcome = log_open(&log, &config, &error);
    if (outcome == 0)
        outcome = follow(settings, &log, &error);
    log_close(&log);
    return outcome == 0 ? CMD_OK : cmd_fail(cmd_follow_command.name, &error);
}

/* --- the command ----------------------------------------------------------------------- */

static int
usage(const char *text)
{
    struct error error;

    error_set(&error, "%s", text);
    return cmd_usage(cmd_follow_command.name, &error);
}

int
cmd_follow(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error;

    switch (options_parse(&cmd_follow_command, argv, &settings, operands, &error)) {
    case OPTIONS_EXIT:
        return CMD_OK;
    case OPTIONS_USAGE:
        return cmd_usage(cmd_follow_command.name, &error);
    case OPTIONS_OK:
        break;
    }
    if (settings.init != NULL)
        return init(&settings);
    if (settings.print)
        return usage("--print goes with --init URL");
    if (settings.from == NULL)
        return usage("which log? Give --from URL or set ROWCAST_FROM, or --init URL first");
    if (settings.database.db == NULL)
        return usage("which file? Give --db FILE or set ROWCAST_DB");
    return follow_logged(&settings);
}
