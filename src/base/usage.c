/* usage.c - prints --help and --version. base/options.c calls it before it checks any argument. */
#include "config.h"

#include "base/usage.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 30 /* of the help texts */

static void
print_option(const struct option *option)
{
    char left[128], name[OPTION_NAME_MAX];
    int len;

    if (option->letter != '\0')
        len = snprintf(left, sizeof left, "-%c, --%s", option->letter, option->name);
    else
        len = snprintf(left, sizeof left, "--%s", option->name);
    if (option->kind != OPTION_FLAG)
        snprintf(left + len, sizeof left - (size_t)len, " %s", option->value_name);

    if (strlen(left) + 2 < HELP_COLUMN)
        printf("  %-*s%s\n", HELP_COLUMN - 2, left, option->help);
    else
        printf("  %s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
    const char *variable = option_env_name(name, option);
    if (variable == NULL && option->fallback == NULL)
        return;
    printf("%*s[", HELP_COLUMN, "");
    if (option->fallback != NULL)
        printf("default %s%s", option->fallback, variable == NULL ? "" : "; ");
    printf("%s]\n", variable == NULL ? "" : variable);
}

static void
print_help(const struct command *command)
{
    const char *gap = command->operands[0] != '\0' ? " " : "";

    printf("Usage: rowcast %s [OPTION...]%s%s\n\n%s\n\nOptions [default; environment "
           "variable that also sets it]:\n",
           command->name, gap, command->operands, command->summary);
    for (const struct option *option = command->options; option->name != NULL; option++)
        print_option(option);
    printf("  %-*s%s\n", HELP_COLUMN - 2, "-h, --help", "print this and exit");
    printf("  %-*s%s\n", HELP_COLUMN - 2, "-V, --version", "print the version and exit");
}

bool
usage_print_if_asked(const struct command *command, char **argv)
{
    for (char **next = argv + 1; *next != NULL && strcmp(*next, "--") != 0; next++) {
        if (strcmp(*next, "--help") == 0 || strcmp(*next, "-h") == 0) {
            print_help(command);
            return true;
        }
        if (strcmp(*next, "--version") == 0 || strcmp(*next, "-V") == 0) {
            puts("rowcast " PACKAGE_VERSION);
            return true;
        }
    }
    return false;
}
