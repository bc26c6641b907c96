/* usage.h - the words of --help and --version, made from a command's option table. */
#ifndef ROWCAST_BASE_USAGE_H
#define ROWCAST_BASE_USAGE_H

#include "base/options.h"

#define OPTION_NAME_MAX 64 /* bytes of ROWCAST_NAME */

/* Writes the option's environment variable, ROWCAST_NAME, to name and returns it. */
const char *option_env_name(char name[OPTION_NAME_MAX], const struct option *option);

/* Prints help or version to standard output when the arguments (ended by NULL, the first skipped)
 * ask for it, whatever else is wrong with them. */
bool usage_print_if_asked(const struct command *command, char **argv);

#endif
