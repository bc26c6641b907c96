/* test_options.c - command line, environment and defaults. */
#include "config.h"

#include "base/options.h"

#include <unistd.h>

#include "base/parse_number.h"

#include "../unit.h"

#define TEST_NAME "options"

struct settings {
    const char *db;
    bool follow;
    int64_t streams;
    int64_t window;
    int64_t keep_age;
    int64_t heartbeat;
    int64_t mode;
    int level;
    struct text_list origins;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct option table[] = {
    {"db", OPTION_TEXT, FIELD(db), 0, 0, NULL, "FILE", "the database", 0, false},
    {"follow", OPTION_FLAG, FIELD(follow), 0, 0, NULL, NULL, "go on", 'f', false},
    {"max-streams", OPTION_COUNT, FIELD(streams), 0, 1000, "10", "N", "so many", 0, false},
    {"window-bytes", OPTION_SIZE, FIELD(window), 1024, INT64_C(1) << 30, "4M", "SIZE", "x",
     0, false},
    {"keep-age", OPTION_AGE, FIELD(keep_age), 0, 0, "0", "AGE", "prune", 0, false},
    {"heartbeat", OPTION_SECONDS, FIELD(heartbeat), 0, 86400000, "15", "SECONDS", "beat", 0,
     false},
    {"listen-mode", OPTION_MODE, FIELD(mode), 0, 0777, "0660", "MODE", "of the socket", 0,
     false},
    {"log-level", OPTION_CHOICE, FIELD(level), 0, 0, "info", "error|warn|info|debug", "log",
     0, false},
    {"cors-origin", OPTION_LIST, FIELD(origins), 0, 0, NULL, "ORIGIN", "allow it", 0,
     false},
    {NULL, OPTION_TEXT, 0, 0, 0, NULL, NULL, NULL, 0, false},
};

static const struct command command = {"serve", "[DATA | -]", "Serves.", table, 2};

static enum options_result
parse(struct settings *settings, const char **operands, struct error *error,
      const char *line)
{
    static char copy[1024];
    char *argv[32] = {NULL};
    int argc = 0;
    char name[] = "serve";

    argv[argc++] = name;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    memset(settings, 0xA5, sizeof *settings);
    error->text[0] = '\0';
    return options_parse(&command, argv, settings, operands, error);
}

static void
test_defaults_come_from_the_table(void **state)
{
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    assert_int_equal(parse(&s, operands, &error, ""), OPTIONS_OK);
    assert_null(s.db);
    assert_false(s.follow);
    assert_int_equal(s.streams, 10);
    assert_int_equal(s.window, 4 << 20);
    assert_int_equal(s.keep_age, 0);
    assert_int_equal(s.heartbeat, 15000);
    assert_int_equal(s.mode, 0660);
    assert_int_equal(s.level, 2);
    assert_int_equal(s.origins.count, 0);
    assert_null(operands[0]);
}

static void
test_every_kind_is_set_in_both_spellings(void **state)
{
    static const char *const lines[] = {
        "--db x --follow --max-streams 7 --window-bytes 64K --keep-age 2h --heartbeat 0.5 "
        "--listen-mode 600 --log-level debug --cors-origin a --cors-origin b",
        "--db=x -f --max-streams=7 --window-bytes=65536 --keep-age=120m --heartbeat=0.500 "
        "--listen-mode=0600 --log-level=debug --cors-origin=a --cors-origin=b",
    };
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_int_equal(parse(&s, operands, &error, lines[i]), OPTIONS_OK);
        assert_string_equal(s.db, "x");
        assert_true(s.follow);
        assert_int_equal(s.streams, 7);
        assert_int_equal(s.window, 65536);
        assert_int_equal(s.keep_age, 7200000);
        assert_int_equal(s.heartbeat, 500);
        assert_int_equal(s.mode, 0600);
        assert_int_equal(s.level, 3);
        assert_int_equal(s.origins.count, 2);
        assert_string_equal(s.origins.items[0], "a");
        assert_string_equal(s.origins.items[1], "b");
        options_free(&command, &s);
    }
}

static void
test_refusals_name_option_value_and_range(void **state)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"--heartbeat x", "--heartbeat: \"x\" is not a number of seconds from 0 to 86400"},
        {"--heartbeat 86400.001",
         "--heartbeat: \"86400.001\" is not a number of seconds from 0 to 86400"},
        {"--heartbeat 1.0000",
         "--heartbeat: \"1.0000\" is not a number of seconds from 0 to 86400"},
        {"--heartbeat ''", "--heartbeat: \"\" is not a number of seconds from 0 to 86400"},
        {"--max-streams 1001", "--max-streams: \"1001\" is not a number from 0 to 1000"},
        {"--max-streams -1", "--max-streams: \"-1\" is not a number from 0 to 1000"},
        {"--max-streams 7x", "--max-streams: \"7x\" is not a number from 0 to 1000"},
        {"--max-streams 99999999999999999999",
         "--max-streams: \"99999999999999999999\" is not a number from 0 to 1000"},
        {"--window-bytes 5m",
         "--window-bytes: \"5m\" is not a size from 1K to 1G (bytes, or "
         "such as 64K, 4M, 1G)"},
        {"--window-bytes 9223372036854775807G",
         "--window-bytes: \"9223372036854775807G\" is not a size from 1K to 1G (bytes, or "
         "such "
         "as 64K, 4M, 1G)"},
        {"--keep-age 7", "--keep-age: \"7\" is not an age (such as 90s, 10m, 2h, 7d)"},
        {"--listen-mode 0888",
         "--listen-mode: \"0888\" is not an octal mode from 0000 to 0777 (such as 0660)"},
        {"--listen-mode 01000",
         "--listen-mode: \"01000\" is not an octal mode from 0000 to 0777 (such as 0660)"},
        {"--log-level loud", "--log-level: \"loud\" is not one of error|warn|info|debug"},
        {"--log-level warn|info",
         "--log-level: \"warn|info\" is not one of error|warn|info|debug"},
        {"--follow=yes", "--follow: \"yes\" is not 0 or 1"},
        {"--db ''", "--db: must not be empty"},
        {"--cors-origin ''", "--cors-origin: must not be empty"},
        {"--db", "--db: needs a value (FILE)"},
        {"--colour", "unknown option \"--colour\""},
        {"--d", "unknown option \"--d\": did you mean --db?"},
        {"--hartbeat=3", "unknown option \"--hartbeat=3\": did you mean --heartbeat?"},
        {"-x", "unknown option \"-x\""},
        {"-ff", "unknown option \"-ff\""},
        {"a b c", "unexpected operand \"c\""},
    };
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK(parse(&s, operands, &error, cases[i].line) == OPTIONS_USAGE, "%s\n",
              cases[i].line);
        assert_string_equal(error.text, cases[i].text);
    }
}

static void
test_environment_stands_below_the_command_line(void **state)
{
    struct settings kept, s;
    const char *operands[3];
    struct error error;

    (void)state;
    setenv("ROWCAST_MAX_STREAMS", "5", 1);
    setenv("ROWCAST_FOLLOW", "1", 1);
    setenv("ROWCAST_CORS_ORIGIN", " https://a  https://b ", 1);
    setenv("ROWCAST_HEARTBEAT", "", 1);
    assert_int_equal(parse(&kept, operands, &error, ""), OPTIONS_OK);
    assert_int_equal(kept.streams, 5);
    assert_true(kept.follow);
    assert_int_equal(kept.origins.count, 2);
    assert_string_equal(kept.origins.items[1], "https://b");
    assert_int_equal(kept.heartbeat, 15000);

    assert_int_equal(
        parse(&s, operands, &error, "--max-streams 6 --follow=0 --cors-origin x"),
        OPTIONS_OK);
    assert_int_equal(s.streams, 6);
    assert_false(s.follow);
    assert_int_equal(s.origins.count, 1);
    assert_string_equal(s.origins.items[0], "x");
    options_free(&command, &kept);
    options_free(&command, &s);

    unsetenv("ROWCAST_CORS_ORIGIN");
    setenv("ROWCAST_FOLLOW", "yes", 1);
    assert_int_equal(parse(&s, operands, &error, ""), OPTIONS_USAGE);
    assert_string_equal(error.text, "ROWCAST_FOLLOW: \"yes\" is not 0 or 1");

    unsetenv("ROWCAST_MAX_STREAMS");
    unsetenv("ROWCAST_FOLLOW");
    unsetenv("ROWCAST_HEARTBEAT");
}

static void
test_operands_mix_with_options(void **state)
{
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    assert_int_equal(parse(&s, operands, &error, "one --db x -"), OPTIONS_OK);
    assert_string_equal(operands[0], "one");
    assert_string_equal(operands[1], "-");
    assert_null(operands[2]);
    assert_string_equal(s.db, "x");
    assert_int_equal(parse(&s, operands, &error, "--db x -- --db"), OPTIONS_OK);
    assert_string_equal(operands[0], "--db");
    assert_null(operands[1]);
}

static void
test_the_later_of_two_wins(void **state)
{
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    assert_int_equal(parse(&s, operands, &error, "--db x --db y"), OPTIONS_OK);
    assert_string_equal(s.db, "y");
}

static void
test_bad_values_cannot_forge_lines(void **state)
{
    struct settings s;
    const char *operands[3];
    struct error error;

    (void)state;
    assert_int_equal(parse(&s, operands, &error, "--max-streams \n\"\xFF"), OPTIONS_USAGE);
    assert_null(strchr(error.text, '\n'));
    assert_non_null(strstr(error.text, "\\x0a\\\"\\xff"));
}

/* What options_parse prints on stdout for the line. */
static void
capture(char *out, size_t size, const char *line)
{
    struct settings s;
    const char *operands[3];
    struct error error;
    FILE *file = tmpfile();

    assert_non_null(file);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    enum options_result result = parse(&s, operands, &error, line);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(result, OPTIONS_EXIT);
}

static void
test_help_lists_each_option_default_and_variable(void **state)
{
    char help[8192];

    (void)state;
    capture(help, sizeof help, "--nonsense --help");
    assert_non_null(strstr(help, "Usage: rowcast serve [OPTION...] [DATA | -]\n"));
    assert_non_null(strstr(help, "--heartbeat SECONDS"));
    assert_non_null(strstr(help, "-f, --follow "));
    assert_non_null(strstr(help, "[default 15; ROWCAST_HEARTBEAT]"));
    assert_non_null(strstr(help, "[default 0660; ROWCAST_LISTEN_MODE]"));
    assert_non_null(strstr(help, "[ROWCAST_DB]"));
}

static void
test_version_is_one_line(void **state)
{
    char version[256];

    (void)state;
    capture(version, sizeof version, "--version");
    assert_string_equal(version, "rowcast " PACKAGE_VERSION "\n");
}

/* --- base/parse_number.c -------------------------------------------------------------- */

static void
test_ids_are_decimal_and_saturate(void **state)
{
    static const struct {
        const char *text;
        int result;
        int64_t id;
    } cases[] = {{"0", 0, 0},
                 {"0007", 0, 7},
                 {"-5", -1, 0},
                 {"9007199254740991", 0, INT64_C(9007199254740991)},
                 {"9223372036854775807", 0, INT64_MAX},
                 {"9223372036854775808", 0, INT64_MAX},
                 {"99999999999999999999999", 0, INT64_MAX},
                 {"", -1, 0},
                 {"-", -1, 0},
                 {"+5", -1, 0},
                 {" 5", -1, 0},
                 {"5 ", -1, 0},
                 {"0x5", -1, 0},
                 {"5e3", -1, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t id = 0;
        CHECK(parse_id(cases[i].text, &id) == cases[i].result, "%s\n", cases[i].text);
        CHECK(id == cases[i].id, "%s\n", cases[i].text);
    }
}

static void
test_numbers_that_overflow_are_refused(void **state)
{
    int64_t value = 42;

    (void)state;
    assert_int_equal(parse_count("9223372036854775807", 0, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    value = 42;
    assert_int_equal(parse_count("9223372036854775808", 0, INT64_MAX, &value), -1);
    assert_int_equal(parse_size("9223372036854775807K", &value), -1);
    assert_int_equal(parse_age("9223372036854775807d", &value), -1);
    assert_int_equal(parse_seconds("9223372036854775807", &value), -1);
    assert_int_equal(parse_seconds("9223372036854775.999", &value), -1);
    assert_int_equal(parse_octal("7777777777777777777777777", &value), -1);
    assert_int_equal(value, 42);
}

static void
test_quoting_always_quotes(void **state)
{
    char out[PARSE_QUOTED_MAX], longer[1000];

    (void)state;
    assert_string_equal(parse_quote(out, "x"), "\"x\"");
    assert_string_equal(parse_quote(out, ""), "\"\"");
    assert_string_equal(parse_quote(out, "a b"), "\"a b\"");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_true(strlen(parse_quote(out, longer)) < PARSE_QUOTED_MAX);
    memset(longer, '\n', sizeof longer - 1);
    assert_true(strlen(parse_quote(out, longer)) < PARSE_QUOTED_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_come_from_the_table),
        cmocka_unit_test(test_every_kind_is_set_in_both_spellings),
        cmocka_unit_test(test_refusals_name_option_value_and_range),
        cmocka_unit_test(test_environment_stands_below_the_command_line),
        cmocka_unit_test(test_operands_mix_with_options),
        cmocka_unit_test(test_the_later_of_two_wins),
        cmocka_unit_test(test_bad_values_cannot_forge_lines),
        cmocka_unit_test(test_help_lists_each_option_default_and_variable),
        cmocka_unit_test(test_version_is_one_line),
        cmocka_unit_test(test_ids_are_decimal_and_saturate),
        cmocka_unit_test(test_numbers_that_overflow_are_refused),
        cmocka_unit_test(test_quoting_always_quotes),
    };
    return RUN(tests);
}
