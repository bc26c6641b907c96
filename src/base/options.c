/* options.c - one table drives parsing, defaults, environment and usage text.
 *
 * getopt_long is not used: it knows neither types nor ranges nor the environment, and its
 * messages cannot name the accepted values. Every value goes through one strict setter for
 * its kind, wherever it comes from, so that a default in the table is checked too. */
#include "config.h"

#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/parse_number.h"
#include "base/usage.h"

#define OPTIONS_MAX 64 /* in one command's table */
#define LIMIT_TEXT_MAX 32

/* Where a value comes from, as an error names it: "--heartbeat" or "ROWCAST_HEARTBEAT". */
struct origin {
    const char *prefix;
    const char *name;
};

struct parser {
    const struct command *command;
    char *settings;
    bool given[OPTIONS_MAX]; /* on the command line */
    const char **operands;
    int operand_count;
    struct error *error;
};

static void *
field_of(const struct parser *parser, const struct option *option)
{
    return parser->settings + option->offset;
}

static int64_t
limit_of(const struct option *option)
{
    return option->max == 0 ? INT64_MAX : option->max;
}

/* --- what a good value looks like, for errors ---------------------------------------- */

/* The number with the largest unit of the table that divides it. */
struct unit {
    int64_t size;
    const char *name;
};

static const struct unit size_units[] = {
    {1024 * 1024 * 1024, "G"}, {1024 * 1024, "M"}, {1024, "K"}, {1, ""}};
static const struct unit age_units[] = {
    {86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};

static const char *
with_unit(char out[LIMIT_TEXT_MAX], int64_t value, const struct unit *units)
{
    while (value != 0 && value % units->size != 0)
        units++;
    if (value == 0)
        snprintf(out, LIMIT_TEXT_MAX, "0");
    else
        snprintf(out, LIMIT_TEXT_MAX, "%" PRId64 "%s", value / units->size, units->name);
    return out;
}

static const char *
in_seconds(char out[LIMIT_TEXT_MAX], int64_t ms)
{
    if (ms % 1000 == 0)
        snprintf(out, LIMIT_TEXT_MAX, "%" PRId64, ms / 1000);
    else
        snprintf(out, LIMIT_TEXT_MAX, "%" PRId64 ".%03" PRId64, ms / 1000, ms % 1000);
    return out;
}

/* A limit as one would type it. */
static const char *
limit_text(char out[LIMIT_TEXT_MAX], const struct option *option, int64_t value)
{
    if (option->kind == OPTION_SIZE)
        return with_unit(out, value, size_units);
    if (option->kind == OPTION_AGE)
        return with_unit(out, value, age_units);
    if (option->kind == OPTION_SECONDS)
        return in_seconds(out, value);
    snprintf(out, LIMIT_TEXT_MAX, option->kind == OPTION_MODE ? "%04" PRIo64 : "%" PRId64,
             value);
    return out;
}

/* "from 1 to 9", "of at least 1", or nothing. */
static void
describe_range(char *out, size_t size, const struct option *option)
{
    char min[LIMIT_TEXT_MAX], max[LIMIT_TEXT_MAX];

    limit_text(min, option, option->min);
    if (limit_of(option) != INT64_MAX)
        snprintf(out, size, " from %s to %s", min, limit_text(max, option, option->max));
    else if (option->min > 0)
        snprintf(out, size, " of at least %s", min);
    else
        out[0] = '\0';
}

static int
refuse_value(const struct parser *parser, const struct option *option, struct origin origin,
             const char *value)
{
    char quoted[PARSE_QUOTED_MAX], range[3 * LIMIT_TEXT_MAX];
    const char *expected = "";
    const char *example = "";

    describe_range(range, sizeof range, option);
    switch (option->kind) {
    case OPTION_COUNT:
        expected = "a number";
        break;
    case OPTION_SIZE:
        expected = "a size";
        example = " (bytes, or such as 64K, 4M, 1G)";
        break;
    case OPTION_AGE:
        expected = "an age";
        example = " (such as 90s, 10m, 2h, 7d)";
        break;
    case OPTION_SECONDS:
        expected = "a number of seconds";
        break;
    case OPTION_MODE:
        expected = "an octal mode";
        example = " (such as 0660)";
        break;
    case OPTION_CHOICE:
        expected = "one of ";
        snprintf(range, sizeof range, "%s", option->value_name);
        break;
    case OPTION_FLAG:
        expected = "0 or 1";
        range[0] = '\0';
        break;
    case OPTION_TEXT:
    case OPTION_LIST:
        return error_set(parser->error, "%s%s: must not be empty", origin.prefix,
                         origin.name);
    }
    return error_set(parser->error, "%s%s: %s is not %s%s%s", origin.prefix, origin.name,
                     parse_quote(quoted, value), expected, range, example);
}

/* --- the setters, one for each kind -------------------------------------------------- */

static int
set_flag(bool *field, const char *value)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return -1;
    *field = value[0] == '1';
    return 0;
}

static int
set_text(const char **field, const char *value)
{
    if (*value == '\0')
        return -1;
    *field = value;
    return 0;
}

static int
set_choice(int *field, const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (int index = 0;; index++) {
        size_t choice_len = strcspn(choices, "|");
        if (len == choice_len && memcmp(choices, value, len) == 0) {
            *field = index;
            return 0;
        }
        if (choices[choice_len] == '\0')
            return -1;
        choices += choice_len + 1;
    }
}

static int
set_number(int64_t *field, const struct option *option, const char *value)
{
    int64_t number = 0;
    int failed;

    if (option->kind == OPTION_SIZE)
        failed = parse_size(value, &number);
    else if (option->kind == OPTION_AGE)
        failed = parse_age(value, &number);
    else if (option->kind == OPTION_SECONDS)
        failed = parse_seconds(value, &number);
    else if (option->kind == OPTION_MODE)
        failed = parse_octal(value, &number);
    else
        failed = parse_count(value, 0, INT64_MAX, &number);
    if (failed || number < option->min || number > limit_of(option))
        return -1;
    *field = number;
    return 0;
}

static int
append_item(const struct parser *parser, const struct option *option, struct origin origin,
            const char *value)
{
    struct text_list *list = field_of(parser, option);

    if (*value == '\0')
        return refuse_value(parser, option, origin, value);
    if (list->count == TEXT_LIST_MAX)
        return error_set(parser->error, "%s%s: more than %d of them", origin.prefix,
                         origin.name, TEXT_LIST_MAX);
    list->items[list->count++] = value;
    return 0;
}

/* A whole list in one text, as the environment and defaults have it. */
static int
set_list(const struct parser *parser, const struct option *option, struct origin origin,
         const char *value)
{
    struct text_list *list = field_of(parser, option);
    char *copy = strdup(value); /* kept for the process: settings point into it */
    char *rest = NULL;

    if (copy == NULL)
        return error_set(parser->error, "%s%s: out of memory", origin.prefix, origin.name);
    list->count = 0;
    for (char *item = strtok_r(copy, " ", &rest); item != NULL;
         item = strtok_r(NULL, " ", &rest)) {
        if (append_item(parser, option, origin, item) != 0) {
            list->count = 0;
            free(copy);
            return -1;
        }
    }
    if (list->count == 0)
        free(copy);
    return 0;
}

static int
set_value(const struct parser *parser, const struct option *option, struct origin origin,
          const char *value)
{
    void *field = field_of(parser, option);
    int failed = 0;

    switch (option->kind) {
    case OPTION_TEXT:
        failed = set_text(field, value);
        break;
    case OPTION_FLAG:
        failed = set_flag(field, value);
        break;
    case OPTION_CHOICE:
        failed = set_choice(field, option->value_name, value);
        break;
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_AGE:
    case OPTION_SECONDS:
    case OPTION_MODE:
        failed = set_number(field, option, value);
        break;
    case OPTION_LIST:
        return append_item(parser, option, origin, value);
    }
    return failed ? refuse_value(parser, option, origin, value) : 0;
}

/* --- default, environment, command line ---------------------------------------------- */

static void
clear_field(const struct parser *parser, const struct option *option)
{
    void *field = field_of(parser, option);

    switch (option->kind) {
    case OPTION_TEXT:
        *(const char **)field = NULL;
        break;
    case OPTION_FLAG:
        *(bool *)field = false;
        break;
    case OPTION_CHOICE:
        *(int *)field = 0;
        break;
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_AGE:
    case OPTION_SECONDS:
    case OPTION_MODE:
        *(int64_t *)field = 0;
        break;
    case OPTION_LIST:
        ((struct text_list *)field)->count = 0;
        break;
    }
}

/* Sets the field from one text that is the whole value. */
static int
set_whole(const struct parser *parser, const struct option *option, struct origin origin,
          const char *value)
{
    if (option->kind == OPTION_LIST)
        return set_list(parser, option, origin, value);
    return set_value(parser, option, origin, value);
}

/* Environment or default, for what the command line leaves open. */
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
        return set_whole(parser, option, (struct origin){"", name}, value);
    if (option->fallback != NULL)
        return set_whole(parser, option, (struct origin){"default of --", option->name},
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
    return error_set(parser->error, "%s %s", what, parse_quote(quoted, argument));
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
    return error_set(parser->error, "unknown option %s: did you mean --%s?",
                     parse_quote(quoted, argument), meant);
}

/* Takes the option at argv[0], its value behind `=` or in argv[1]. Returns how many arguments
 * that were, or -1. */
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
    struct origin origin = {"--", option->name};
    const char *value = equals != NULL ? equals + 1 : NULL;
    int taken = 1;
    if (value == NULL && option->kind == OPTION_FLAG) {
        value = "1";
    } else if (value == NULL) {
        value = argv[1];
        taken = 2;
    }
    if (value == NULL)
        return error_set(parser->error, "--%s: needs a value (%s)", option->name,
                         option->value_name);
    parser->given[index] = true;
    return set_value(parser, option, origin, value) == 0 ? taken : -1;
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
        .command = command, .settings = settings, .operands = operands, .error = error};

    if (usage_print_if_asked(command, argv))
        return OPTIONS_EXIT;
    for (const struct option *option = command->options; option->name != NULL; option++) {
        assert(option - command->options < OPTIONS_MAX);
        clear_field(&parser, option);
    }
    if (take_arguments(&parser, argv) != 0)
        return OPTIONS_USAGE;
    for (size_t i = 0; command->options[i].name != NULL; i++) {
        if (set_unless_given(&parser, i) != 0)
            return OPTIONS_USAGE;
    }
    return OPTIONS_OK;
}
