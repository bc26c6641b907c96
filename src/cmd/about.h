/* about.h - what `rowcast` says about itself: commands, version, and names that were probably
 * meant. */
#ifndef ROWCAST_CMD_ABOUT_H
#define ROWCAST_CMD_ABOUT_H

#include <stddef.h>
#include <stdio.h>

#include "base/options.h"

struct cmd_entry {
    const struct command *command;
    int (*run)(char **argv);
    const char *help; /* one line for the list */
};

/* Every command; *count: how many. */
const struct cmd_entry *cmd_entries(size_t *count);

/* NULL when there is no command with that name. */
const struct cmd_entry *cmd_find(const char *name);

/* The list of commands. */
void about_print_usage(FILE *out);

/* "rowcast VERSION", and on a second line its libraries and what it was built with. */
void about_print_version(void);

/* One line on standard error for a command that is not there, with the one that was probably
 * meant. */
void about_refuse_command(const char *name);

/* A line on standard error for each ROWCAST_ variable that no command reads: it is misspelt,
 * and what it should set has its default. ROWCAST_TEST_ is the tests' own. */
void about_warn_of_variables(char **environment);

#endif
