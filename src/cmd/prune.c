/* prune.c - `rowcast prune`: deletes old rows in small batches, with a breath between them
 * in which an application's writer gets its turn. Prints how many it deleted. Safe while
 * serving: the database remembers what was pruned, and readers that missed it get a gap event. */
#include "config.h"

#include "cmd/cmd.h"

#include <inttypes.h>
#include <time.h>

#define PRUNE_BATCH 500
#define PRUNE_BREATH_MS 5

struct settings {
    struct cmd_database database;
    int64_t keep_age_ms;
    int64_t keep_rows;
    bool expired;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(keep_age_ms, "keep-age", OPTION_AGE, .value_name = "AGE",
           .help = "delete rows older than that: 90s, 10m, 2h, 7d"),
    OPTION(keep_rows, "keep-rows", OPTION_COUNT, .min = 0, .max = ROW_ID_MAX,
           .value_name = "N", .help = "delete all but the newest N rows"),
    OPTION(expired, "expired", OPTION_FLAG, .help = "delete rows whose expires_at is past"),
    {.name = NULL},
};

const struct command cmd_prune_command = {
    .name = "prune",
    .operands = "",
    .summary = "Deletes rows by age, by count, or when they have expired; with several "
               "options a row "
               "that matches any is deleted.",
    .options = options,
};

static void
take_breath(void)
{
    struct timespec breath = {.tv_nsec = PRUNE_BREATH_MS * 1000000L};

    nanosleep(&breath, NULL);
}

/* All batches; *total counts those that are done, also when it fails. */
static enum store_result
prune_all(struct store *store, const struct store_prune *prune, int64_t *total,
          struct error *error)
{
    int deleted;

    for (;;) {
        enum store_result result = store_prune(store, prune, &deleted, error);
        if (result != STORE_OK || deleted == 0)
            return result;
        *total += deleted;
        take_breath();
    }
}

static int
prune_table(const struct settings *settings)
{
    struct store_config config = {.path = settings->database.db,
                                  .table = settings->database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    int64_t now = cmd_now_ms();
    struct store_prune prune = {
        .older_than_ms = settings->keep_age_ms > 0 ? now - settings->keep_age_ms : 0,
        .now_ms = now,
        .keep_rows = settings->keep_rows,
        .expired_before_ms = settings->expired ? now : 0,
        .max_rows = PRUNE_BATCH,
    };
    struct error error;
    int64_t total = 0;

    struct store *store = store_open(&config, NULL, &error);
    if (store == NULL)
        return cmd_fail(cmd_prune_command.name, &error);
    enum store_result result = prune_all(store, &prune, &total, &error);
    store_close(store);
    if (result == STORE_OK)
        return cmd_print_number(cmd_prune_command.name, total);

    struct error with_count;
    error_set(&with_count, "%s; %" PRId64 " rows are deleted so far", error.text, total);
    return cmd_fail(cmd_prune_command.name, total > 0 ? &with_count : &error);
}

int
cmd_prune(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error;

    int code = cmd_parse(&cmd_prune_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    if (settings.keep_age_ms == 0 && settings.keep_rows == 0 && !settings.expired) {
        error_set(&error, "what is to go? Give --keep-age AGE, --keep-rows N or --expired");
        return cmd_usage(cmd_prune_command.name, &error);
    }
    return prune_table(&settings);
}
