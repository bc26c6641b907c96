/* option_value.c - from the text of an option's value to its field in the settings.
 *
 * Each kind has one strict setter. base/options.c calls them for the command line, the environment
 * and the defaults of the table, so that a default is checked too. */
#include "config.h"

#include "base/option_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse_number.h"

#define LIMIT_TEXT_MAX 32

static void *
field_of(const struct option_target *target, const struct option *option)
{
    return target->settings + option->offset;
}

static int64_t
limit_of(const struct option *option)
{
    return option->max == 0 ? INT64_MAX : option->max;
}

/* --- what a good value looks like, for errors ---------------------------------------- */

/* with_unit uses the largest unit of the table that divides the number. */
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

/* A limit as a user would type it. */
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
refuse_value(const struct option_target *target, const struct option *option,
             struct option_origin origin, const char *value)
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
        return error_set(target->error, "%s%s: must not be empty", origin.prefix,
                         origin.name);
    }
    return error_set(target->error, "%s%s: %s is not %s%s%s", origin.prefix, origin.name,
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
append_item(const struct option_target *target, const struct option *option,
            struct option_origin origin, const char *value)
{
    struct text_list *list = field_of(target, option);

    if (*value == '\0')
        return refuse_value(target, option, origin, value);
    if (list->count == TEXT_LIST_MAX)
        return error_set(target->error, "%s%s: more than %d of them", origin.prefix,
                         origin.name, TEXT_LIST_MAX);
    list->items[list->count++] = value;
    return 0;
}

/* Sets a list from one text of the environment or of the defaults. */
static int
set_list(const struct option_target *target, const struct option *option,
         struct option_origin origin, const char *value)
{
    struct text_list *list = field_of(target, option);
    char *rest = NULL;

    list->count = 0;
    list->copy = strdup(value);
    if (list->copy == NULL)
        return error_set(target->error, "%s%s: out of memory", origin.prefix, origin.name);
    for (char *item = strtok_r(list->copy, " ", &rest); item != NULL;
         item = strtok_r(NULL, " ", &rest)) {
        if (append_item(target, option, origin, item) != 0)
            return -1;
    }
    return 0;
}

int
option_set(const struct option_target *target, const struct option *option,
           struct option_origin origin, const char *value)
{
    void *field = field_of(target, option);
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
        return append_item(target, option, origin, value);
    }
    return failed ? refuse_value(target, option, origin, value) : 0;
}

/* --- the fields ---------------------------------------------------------------------- */

void
option_clear(const struct option_target *target, const struct option *option)
{
    void *field = field_of(target, option);

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
        *(struct text_list *)field = (struct text_list){.count = 0};
        break;
    }
}

int
option_set_whole(const struct option_target *target, const struct option *option,
                 struct option_origin origin, const char *value)
{
    if (option->kind == OPTION_LIST)
        return set_list(target, option, origin, value);
    return option_set(target, option, origin, value);
}
