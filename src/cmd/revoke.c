/* revoke.c - `rowcast revoke`: throws a user out, by a row in rowcast_revocation.
 *
 * Every `rowcast serve` of the database reads it within a second: the user's streams end, tickets
 * from before are refused, subscriptions to Web Push are gone. */
#include "config.h"

#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

#include "base/parse_number.h"
#include "people/revocation_table.h"

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */

struct settings {
    struct cmd_database database;
    const char *user;
    const char *before;
    int64_t forget_ms;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(user, "user", OPTION_TEXT, .value_name = "NAME", .has_no_variable = true,
           .help = "whom to throw out"),
    OPTION(before, "before", OPTION_TEXT, .value_name = "TIME", .has_no_variable = true,
           .help = "2026-11-28T20:00:00Z, 10m (ago) or Unix milliseconds; else now"),
    OPTION(forget_ms, "forget", OPTION_AGE, .value_name = "AGE", .has_no_variable = true,
           .help = "delete revocations older than that: no ticket lives so long"),
    {.name = NULL},
};

const struct command cmd_revoke_command = {
    .name = "revoke",
    .operands = "",
    .summary =
        "Throws a user out: within a second the user's streams end and tickets from before "
        "are refused; subscriptions to Web Push are deleted.",
    .options = options,
};

/* The digits at p as a number; -1: there are other characters. */
static int
take_digits(const char *p, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        number = number * 10 + (p[i] - '0');
    }
    return number;
}

/* Days since 1970 of a date of the Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level
 * Date Algorithms", days_from_civil. */
static int64_t
days_of(int year, int month, int day)
{
    year -= month <= 2;
    int era = year / 400;
    int of_era = year - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return (int64_t)era * 146097 + days - 719468;
}

/* 2026-11-28T20:00:00Z, in this form alone (RFC 3339 has more of them). */
static int
parse_utc(const char *text, int64_t *ms)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    if (strlen(text) != sizeof form - 1)
        return -1;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] != '0' && text[i] != form[i])
            return -1;
    int year = take_digits(text, 4), month = take_digits(text + 5, 2);
    int day = take_digits(text + 8, 2), hour = take_digits(text + 11, 2);
    int minute = take_digits(text + 14, 2), second = take_digits(text + 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    *ms = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000;
    return 0;
}

static int
parse_before(const char *text, int64_t *before_ms, struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    int64_t age_ms;
    int64_t now_ms = cmd_now_ms();

    *before_ms = now_ms;
    if (text == NULL || parse_utc(text, before_ms) == 0)
        return 0;
    if (parse_count(text, 1, TIME_MAX_MS, before_ms) == 0) {
        if (*before_ms >= INT64_C(100000000000))
            return 0;
        return error_set(error,
                         "--before: %s would be in 1973 or before: milliseconds, not "
                         "seconds, since 1970",
                         parse_quote(quoted, text));
    }
    if (parse_age(text, &age_ms) == 0 && age_ms <= now_ms) {
        *before_ms = now_ms - age_ms;
        return 0;
    }
    return error_set(error,
                     "--before: %s is none of 2026-11-28T20:00:00Z (UTC), an age such as "
                     "10m, or Unix milliseconds",
                     parse_quote(quoted, text));
}

/* --- the work -------------------------------------------------------------------------- */

static int
revoke(struct store *store, const struct settings *settings, int64_t before_ms,
       struct error *error)
{
    int64_t count = 0;
    enum store_result result =
        settings->user != NULL
            ? revocation_table_add(store, slice_of(settings->user), before_ms, error)
            : revocation_table_forget(store, before_ms, &count, error);
    if (result != STORE_OK)
        return cmd_fail(cmd_revoke_command.name, error);
    return settings->user != NULL ? CMD_OK
                                  : cmd_print_number(cmd_revoke_command.name, count);
}

static int
check(const struct settings *settings, struct error *error)
{
    if ((settings->user != NULL) == (settings->forget_ms > 0))
        return error_set(error, "whom? Give --user NAME, or --forget AGE");
    if (settings->before != NULL && settings->user == NULL)
        return error_set(error, "--before goes with --user");
    return 0;
}

int
cmd_revoke(char **argv)
{
    struct settings settings = {0};
    const char *operands[1];
    struct error error = {""};
    int64_t before_ms;

    int code = cmd_parse(&cmd_revoke_command, argv, &settings.database, operands);
    if (code != CMD_READY)
        return code;
    if (check(&settings, &error) != 0 ||
        parse_before(settings.before, &before_ms, &error) != 0)
        return cmd_usage(cmd_revoke_command.name, &error);
    if (settings.user == NULL)
        before_ms -= settings.forget_ms;
    struct store_config config = {.path = settings.database.db,
                                  .table = settings.database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    struct store *store = store_open(&config, NULL, &error);
    if (store == NULL)
        return cmd_fail(cmd_revoke_command.name, &error);
    code = revoke(store, &settings, before_ms, &error);
    store_close(store);
    return code;
}
