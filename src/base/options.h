/* options.h - command line options from one table: name, kind, range, default, help.
 *
 * Each option `--name VALUE` or `--name=VALUE` (a flag: `--name`, or `--name=0` to override the
 * environment) may also come from the environment as ROWCAST_NAME, in capitals with `_` for `-`
 * (a flag: 0 or 1). The command line wins over the environment, and a later argument over an
 * earlier one. An empty variable counts as unset. The usage text comes from the same table. */
#ifndef ROWCAST_BASE_OPTIONS_H
#define ROWCAST_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text_list.h"

enum option_kind {
    OPTION_TEXT,    /* const char *: not empty */
    OPTION_FLAG,    /* bool */
    OPTION_COUNT,   /* int64_t: decimal digits, min .. max */
    OPTION_SIZE,    /* int64_t bytes: digits with an optional K, M or G (1024s) */
    OPTION_AGE,     /* int64_t milliseconds: digits with s, m, h or d; plain 0 */
    OPTION_SECONDS, /* int64_t milliseconds: seconds, with an optional fraction */
    OPTION_MODE,    /* int64_t: octal permissions */
    OPTION_CHOICE,  /* int: index into choices, "a|b|c" */
    OPTION_LIST     /* struct text_list: repeatable; in the environment space-separated */
};

struct option {
    const char *name; /* without "--" */
    enum option_kind kind;
    size_t offset;    /* of the field in the settings struct */
    int64_t min, max; /* for numbers, in the field's unit (SECONDS, AGE: ms); max 0: none */
    const char *fallback;   /* the default, as a user types it; NULL: zero, NULL or false */
    const char *value_name; /* for the usage: FILE, SECONDS, ...; CHOICE: "a|b|c" */
    const char *help;       /* one line, no period at its end */
    char letter;            /* short form, as in -f; 0: none */
    bool has_no_variable;   /* the environment cannot set it */
};

struct command {
    const char *name;             /* "send" */
    const char *operands;         /* for the usage: "[DATA | -]", or "" */
    const char *summary;          /* the first paragraph of the help */
    const struct option *options; /* ended by one with name NULL */
    int max_operands;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_EXIT /* --help, --version: printed */,
    OPTIONS_USAGE /* *error says what is wrong: exit 2 */
};

/* Sets every field from its default, the environment or argv. argv ends in NULL; argv[0] is
 * skipped. Texts point into argv or the environment; options_free frees what lists own. operands
 * has room for command->max_operands + 1 pointers, the last is NULL.
 * "--" ends the options; "-" is an operand; operands and options may be mixed. A list on the
 * command line replaces the one in the environment. An error quotes the bad value and the
 * accepted range. */
enum options_result options_parse(const struct command *command, char **argv,
                                  void *settings, const char **operands,
                                  struct error *error);

/* Frees what the lists of the settings own, whatever options_parse returned. */
void options_free(const struct command *command, void *settings);

#define OPTION_NAME_MAX 64 /* bytes of ROWCAST_NAME */

/* Writes the name of the option's environment variable, ROWCAST_NAME, to `name` and returns it;
 * NULL when the option has none. */
const char *option_env_name(char name[OPTION_NAME_MAX], const struct option *option);

#endif
