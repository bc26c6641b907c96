/* options.c - one table drives parsing, defaults, environment and usage text.
 *
 * Not with getopt_long: it knows neither types nor ranges nor the environment, and its messages
 * cannot name the accepted values. base/option_value.c sets the fields. */
#include "config.h"

#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/option_value.h"
#include "base/parse_number.h"
#include "base/usage.h"

#define OPTIONS_MAX 64 /* in one command's table */

struct parser {
    const struct command *command;
    struct option_target target;
    bool given[OPTIONS_MAX]; /* on the command line */
    const char **operands;
    int operand_count;
};

/* Sets an option that the command line does not have, from the environment or the default. */
static int
set_unless_given(const struct parser *parser, size_t index)
{
    const struct option *option = &parser->command->options[index];
    char name[OPTION_NAME_MAX];

    if (parser->given[index])
        return 0;
    const char *variable = option_env_name(name, option);
    const char *value = variable == NULL ? NULL : getenv(variable);
    if (value != NULL && *value != '\0')
        return option_set_whole(&parser->target, option, (struct option_origin){"", name},
                                value);
    if (option->fallback != NULL)
        return option_set_whole(&parser->target, option,
                                (struct option_origin){"default of --", option->name},
                                option->fallback);
    return 0;
}

/* The index of the option, -1 when there is none. */
static int
find_option(const struct command *command, const char *name, size_t len)
{
    for (int i = 0; command->options[i].name != NULL; i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == len && memcmp(known, name, len) == 0)
            return i;
    }
    return -1;
}

static int
find_letter(const struct command *command, const char *letter)
{
    for (int i = 0; command->options[i].name != NULL; i++) {
        if (letter[0] == command->options[i].letter && letter[1] == '\0')
            return i;
    }
    return -1;
}

static int
refuse_argument(const struct parser *parser, const char *what, const char *argument)
{
    char quoted[PARSE_QUOTED_MAX];
    return error_set(parser->target.error, "%s %s", what, parse_quote(quoted, argument));
}

static int
refuse_option(const struct parser *parser, const char *argument)
{
    char quoted[PARSE_QUOTED_MAX], name[OPTION_NAME_MAX];
    const char *names[OPTIONS_MAX];
    const char *meant = NULL;
    size_t count = 0;

    for (const struct option *option = parser->command->options; option->name != NULL;
         option++)
        names[count++] = option->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argument, "="), argument);
    if (name[0] == '-' && name[1] == '-')
        meant = nearest_find(name + 2, names, count);
    if (meant == NULL)
        return refuse_argument(parser, "unknown option", argument);
    return error_set(parser->target.error, "unknown option %s: did you mean --%s?",
                     parse_quote(quoted, argument), meant);
}

/* Takes the option at argv[0], its value behind `=` or in argv[1]. Returns how many arguments it
 * has taken, or -1. */
static int
take_option(struct parser *parser, char **argv)
{
    const char *argument = argv[0];
    const char *equals = NULL;
    int index;

    if (argument[1] == '-') {
        equals = strchr(argument, '=');
        size_t len = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
        index = find_option(parser->command, argument + 2, len - 2);
    } else {
        index = find_letter(parser->command, argument + 1);
    }
    if (index < 0)
        return refuse_option(parser, argument);

    const struct option *option = &parser->command->options[index];
    struct option_origin origin = {"--", option->name};
    const char *value = equals != NULL ? equals + 1 : NULL;
    int taken = 1;
    if (value == NULL && option->kind == OPTION_FLAG) {
        value = "1";
    } else if (value == NULL) {
        value = argv[1];
        taken = 2;
    }
    if (value == NULL)
        return error_set(parser->target.error, "--%s: needs a value (%s)", option->name,
                         option->value_name);
    parser->given[index] = true;
    return option_set(&parser->target, option, origin, value) == 0 ? taken : -1;
}

static int
take_operand(struct parser *parser, const char *operand)
{
    if (parser->operand_count == parser->command->max_operands)
        return refuse_argument(parser, "unexpected operand", operand);
    parser->operands[parser->operand_count++] = operand;
    return 0;
}

static bool
is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != '\0';
}

static int
take_arguments(struct parser *parser, char **argv)
{
    bool options_ended = false;

    for (char **next = argv + 1; *next != NULL;) {
        int taken = 1;
        if (!options_ended && strcmp(*next, "--") == 0)
            options_ended = true;
        else if (!options_ended && is_option(*next))
            taken = take_option(parser, next);
        else if (take_operand(parser, *next) != 0)
            return -1;
        if (taken < 0)
            return -1;
        next += taken;
    }
    parser->operands[parser->operand_count] = NULL;
    return 0;
}

const char *
option_env_name(char out[OPTION_NAME_MAX], const struct option *option)
{
    if (option->has_no_variable)
        return NULL;
    size_t len = (size_t)snprintf(out, OPTION_NAME_MAX, "ROWCAST_%s", option->name);

    assert(len < OPTION_NAME_MAX);
    for (char *p = out; *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return out;
}

enum options_result
options_parse(const struct command *command, char **argv, void *settings,
              const char **operands, struct error *error)
{
    struct parser parser = {
        .command = command, .target = {settings, error}, .operands = operands};

    for (const struct option *option = command->options; option->name != NULL; option++) {
        assert(option - command->options < OPTIONS_MAX);
        option_clear(&parser.target, option);
    }
    if (usage_print_if_asked(command, argv))
        return OPTIONS_EXIT;
    if (take_arguments(&parser, argv) != 0)
        return OPTIONS_USAGE;
    for (size_t i = 0; command->options[i].name != NULL; i++) {
        if (set_unless_given(&parser, i) != 0)
            return OPTIONS_USAGE;
    }
    return OPTIONS_OK;
}

void
options_free(const struct command *command, void *settings)
{
    for (const struct option *option = command->options; option->name != NULL; option++) {
        if (option->kind == OPTION_LIST) {
            struct text_list *list = (void *)((char *)settings + option->offset);
            free(list->copy);
            *list = (struct text_list){.count = 0};
        }
    }
}
