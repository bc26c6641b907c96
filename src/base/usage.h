/* usage.h - the words of --help and --version, made from a command's option table. */
#ifndef ROWCAST_BASE_USAGE_H
#define ROWCAST_BASE_USAGE_H

#include "base/options.h"

/* Prints help or version to standard output when the arguments (ended by NULL, the first skipped)
 * ask for it, whatever else is wrong with them. */
bool usage_print_if_asked(const struct command *command, char **argv);

#endif
