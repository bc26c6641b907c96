/* cmd.c - what the subcommands share: parsing with --db, the line on stderr, the clock. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse_number.h"

int
cmd_fail(const char *name, const struct error *error)
{
    fprintf(stderr, "rowcast %s: %s\n", name, error->text);
    return CMD_FAILED;
}

int
cmd_usage(const char *name, const struct error *error)
{
    fprintf(stderr, "rowcast %s: %s (see rowcast %s --help)\n", name, error->text, name);
    return CMD_USAGE;
}

int
cmd_parse(const struct command *command, char **argv, struct cmd_database *settings,
          const char **operands)
{
    struct error error;

    switch (options_parse(command, argv, settings, operands, &error)) {
    case OPTIONS_EXIT:
        return CMD_OK;
    case OPTIONS_USAGE:
        return cmd_usage(command->name, &error);
    case OPTIONS_OK:
        break;
    }
    if (settings->db == NULL) {
        error_set(&error, "which database? Give --db FILE or set ROWCAST_DB");
        return cmd_usage(command->name, &error);
    }
    return CMD_READY;
}

int
cmd_print_number(const char *name, int64_t number)
{
    struct error error;

    if (printf("%" PRId64 "\n", number) >= 0 && fflush(stdout) == 0)
        return CMD_OK;
    error_set(&error, "it is done, but %" PRId64 " could not be printed: %s", number,
              strerror(errno));
    return cmd_fail(name, &error);
}

int64_t
cmd_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
cmd_take_patterns(struct patterns *patterns, const struct text_list *list, const char *name,
                  struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    for (size_t i = 0; i < list->count; i++) {
        enum patterns_result result = patterns_add(patterns, slice_of(list->items[i]));
        if (result != PATTERNS_OK)
            return error_set(error, "--%s: %s %s", name,
                             parse_quote(quoted, list->items[i]),
                             patterns_strerror(result));
    }
    enum patterns_result result = patterns_compile(patterns, PATTERNS_GRANTED);
    if (result == PATTERNS_OK)
        return 0;
    return error_set(error, "--%s: %s", name,
                     patterns_list_strerror(PATTERNS_GRANTED, result));
}
