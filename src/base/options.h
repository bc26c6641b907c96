/* options.h - command line options from one table: name, kind, range, default, help.
 *
 * Each option `--name VALUE` or `--name=VALUE` (flags: `--name`, or `--name=0` to take back what
 * the environment says) may also come from the environment as ROWCAST_NAME, in capitals with
 * `_` for `-` (flags: 0 or 1); the command line wins, and of two on the command line the later
 * one. An empty variable counts as unset. The usage text is made from the same table. */
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
    const char *fallback; /* the default as it would be typed; NULL: zero, NULL or false */
    const char *value_name; /* for the usage: FILE, SECONDS, ...; CHOICE: "a|b|c" */
    const char *help;       /* one line, no period at its end */
    char letter;            /* short form, as in -f; 0: none */
    bool has_no_variable; /* only typed: a service whose environment had it would be none */
};

struct command {
    const char *name;             /* "send" */
    const char *operands;         /* for the usage: "[DATA | -]", or "" */
    const char *summary;          /* what it does: the first paragraph of its help */
    const struct option *options; /* ended by one with name NULL */
    int max_operands;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_EXIT /* --help, --version: printed */,
    OPTIONS_USAGE /* *error says what is wrong: exit 2 */
};

/* Sets every field from its default, the environment or argv (argv[0] is skipped; it ends
 * in NULL). Texts point
 * into argv or the environment; texts from list variables are allocated once and kept for
 * the process. operands (room for command->max_operands + 1, NULL-terminated here). "--" ends
 * the options; "-" is an operand; operands and options may be mixed. An error quotes the bad
 * value and the accepted range. A list on the command line replaces the one in the
 * environment. */
enum options_result options_parse(const struct command *command, char **argv,
                                  void *settings, const char **operands,
                                  struct error *error);

#define OPTION_NAME_MAX 64 /* bytes of ROWCAST_NAME */

/* Writes the option's environment variable, ROWCAST_NAME, to name and returns it; NULL when it has
 * none. */
const char *option_env_name(char name[OPTION_NAME_MAX], const struct option *option);

#endif
