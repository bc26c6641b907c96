/* cmd.h - the subcommands, one file each, and what they share.
 *
 * Each takes its own arguments (argv[0] is its name; NULL ends them) and returns the exit code:
 * 0; 1 after one line on stderr that says what to do; 2 for wrong usage. */
#ifndef ROWCAST_CMD_CMD_H
#define ROWCAST_CMD_CMD_H

#include <stdint.h>

#include "base/error.h"
#include "event/filter.h"
#include "base/options.h"
#include "base/text_list.h"
#include "store/store.h"

enum { CMD_READY = -1, CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

extern const struct command cmd_channels_command, cmd_doctor_command, cmd_follow_command,
    cmd_init_command, cmd_prune_command, cmd_push_command, cmd_rebase_command,
    cmd_revoke_command, cmd_send_command, cmd_serve_command, cmd_status_command,
    cmd_tail_command, cmd_ticket_command, cmd_track_command, cmd_untrack_command;

int cmd_channels(char **argv);
int cmd_doctor(char **argv);
int cmd_follow(char **argv);
int cmd_init(char **argv);
int cmd_prune(char **argv);
int cmd_push(char **argv);
int cmd_rebase(char **argv);
int cmd_revoke(char **argv);
int cmd_send(char **argv);
int cmd_serve(char **argv);
int cmd_status(char **argv);
int cmd_tail(char **argv);
int cmd_ticket(char **argv);
int cmd_track(char **argv);
int cmd_untrack(char **argv);

/* How long a subcommand waits for another writer. */
#define CMD_BUSY_MS 10000

/* A line of a command's table: the option sets a field of the type. More fields of struct option
 * may follow. */
#define CMD_OPTION(type, field, option_name, option_kind, ...)                             \
    {                                                                                      \
        .name = option_name, .kind = option_kind, .offset = offsetof(type, field),         \
        __VA_ARGS__                                                                        \
    }

/* The options that every subcommand on a database has; first in its settings and its table. */
struct cmd_database {
    const char *db;
    const char *table;
};
#define CMD_DATABASE_OPTIONS(type)                                                         \
    CMD_OPTION(type, database.db, "db", OPTION_TEXT, .value_name = "FILE",                 \
               .help = "the database"),                                                    \
        CMD_OPTION(type, database.table, "table", OPTION_TEXT, .value_name = "NAME",       \
                   .fallback = STORE_DEFAULT_TABLE, .help = "the table")

/* Prints "rowcast NAME: text" to stderr; return CMD_FAILED and CMD_USAGE. */
int cmd_fail(const char *name, const struct error *error);
int cmd_usage(const char *name, const struct error *error);

/* Parses as options_parse does and asks for --db. CMD_READY: there is work to do; else the command
 * returns with this code, and what there is to say has been said. */
int cmd_parse(const struct command *command, char **argv, struct cmd_database *settings,
              const char **operands);

/* Prints a number and a line end to stdout and flushes it: CMD_FAILED, with a word on
 * stderr, when it cannot be written. */
int cmd_print_number(const char *name, int64_t number);

int64_t cmd_now_ms(void);

/* Adds the values of the option --NAME to the patterns and compiles them. Returns 0, or -1 with
 * *error. */
int cmd_take_patterns(struct patterns *patterns, const struct text_list *list,
                      const char *name, struct error *error);

#endif
