/* usage.h - the texts of --help and --version, made from a command's option table. */
#ifndef ROWCAST_BASE_USAGE_H
#define ROWCAST_BASE_USAGE_H

#include "base/options.h"

/* Prints help or version to standard output when the arguments ask for it, even when other
 * arguments are wrong. argv ends in NULL; argv[0] is skipped. Returns whether it printed. */
bool usage_print_if_asked(const struct command *command, char **argv);

#endif
