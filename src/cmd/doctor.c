/* doctor.c - `rowcast doctor`: checks a deployment, the database and the way through the web
 * server, and says what to do, as it goes. Reads only, unless --send-probe asks for a row. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor/apache.h"
#include "doctor/db.h"
#include "doctor/doctor.h"
#include "doctor/follower.h"
#include "doctor/http.h"
#include "doctor/judge.h"
#include "doctor/lighttpd.h"
#include "doctor/process.h"

#define PROBE_LIFE_MS 60000
#define MARKS_BUSY_MS 2000

struct settings {
    struct cmd_database database;
    const char *user;
    const char *channel;
    const char *ticket;
    const char *ca_file;
    const char *lighttpd_config;
    const char *apache_config;
    const char *from;
    int64_t wait_ms;
    int64_t streams;
    bool json;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(user, "user", OPTION_TEXT, .value_name = "NAME",
           .help = "judge rights for this user; as root else for who serves it"),
    OPTION(from, "from", OPTION_TEXT, .value_name = "URL",
           .help = "ask the PostgreSQL database that the file follows, too"),
    OPTION(wait_ms, "wait", OPTION_SECONDS, .min = 500, .max = 600000, .fallback = "20",
           .value_name = "SECONDS", .help = "how long to wait for a heartbeat"),
    OPTION(channel, "send-probe", OPTION_TEXT, .value_name = "CHANNEL",
           .help = "insert a row into this channel and see it arrive"),
    OPTION(ticket, "ticket", OPTION_TEXT, .value_name = "TOKEN",
           .help = "send it in the Authorization header"),
    OPTION(ca_file, "cacert", OPTION_TEXT, .value_name = "FILE",
           .help = "certificates (PEM) to trust instead of the system's"),
    OPTION(lighttpd_config, "lighttpd-config", OPTION_TEXT, .value_name = "FILE",
           .help = "have lighttpd read its configuration, and judge that"),
    OPTION(apache_config, "apache-config", OPTION_TEXT, .value_name = "FILE",
           .help = "have Apache read its configuration, and compare its workers"),
    OPTION(streams, "streams", OPTION_COUNT, .min = 1, .max = 10000000, .fallback = "900",
           .value_name = "N", .help = "how many pages are to be open at once"),
    OPTION(json, "json", OPTION_FLAG, .help = "print an array of JSON objects"),
    {.name = NULL},
};

const struct command cmd_doctor_command = {
    .name = "doctor",
    .operands = "[URL]",
    .summary =
        "Checks a deployment: the database (--db), and the way through the web server to "
        "the URL of the events, for instance http://localhost/events. Exits with 1 when "
        "something is to be done.",
    .options = options,
    .max_operands = 1,
};

/* http_probe_fn. No page needs the row: it has a type of its own and expires. */
static int
insert_probe(void *arg, char id[EVENTS_WORD_MAX], struct error *error)
{
    const struct settings *settings = arg;
    struct store_config config = {.path = settings->database.db,
                                  .table = settings->database.table,
                                  .mode = STORE_WRITE,
                                  .busy_ms = CMD_BUSY_MS};
    struct row row = {.channel = slice_of(settings->channel),
                      .event = slice_of("rowcast-doctor"),
                      .data = slice_of("a probe of rowcast doctor"),
                      .expires_at = cmd_now_ms() + PROBE_LIFE_MS};
    int64_t number;

    struct store *store = store_open(&config, NULL, error);
    if (store == NULL)
        return -1;
    enum store_result result = store_insert(store, &row, &number, error);
    store_close(store);
    if (result != STORE_OK)
        return -1;
    snprintf(id, EVENTS_WORD_MAX, "%" PRId64, number);
    return 0;
}

/* http_marks_fn. The other checks report a database that this user cannot read. */
static void
read_marks(void *arg, struct http_marks *marks)
{
    const struct settings *settings = arg;
    struct store_config config = {.path = settings->database.db,
                                  .table = settings->database.table,
                                  .mode = STORE_INSPECT,
                                  .busy_ms = MARKS_BUSY_MS};
    struct store_marks found;
    struct error error;

    struct store *store = store_open(&config, NULL, &error);
    marks->known = store != NULL && store_read_marks(store, &found, &error) == STORE_OK;
    if (marks->known) {
        marks->base = found.base;
        marks->after = found.tail;
    }
    store_close(store);
}

static int
check_settings(const struct settings *settings, const char *url, struct error *error)
{
    if (settings->database.db == NULL && url == NULL && settings->lighttpd_config == NULL &&
        settings->apache_config == NULL && settings->from == NULL)
        return error_set(error, "what is to be checked? Give --db FILE, the URL of the "
                                "events, or both");
    if (settings->channel != NULL && (settings->database.db == NULL || url == NULL))
        return error_set(error, "--send-probe needs both --db FILE and the URL");
    if (url != NULL && !doctor_http_is_built())
        return error_set(error,
                         "this build has no HTTP client: build rowcast with libcurl, or "
                         "leave the URL out");
    return 0;
}

/* "Authorization: Bearer " and the ticket, in the 8,190 bytes that Apache takes for a header
 * line. */
#define TICKET_SENT_MAX 8168

static void
check_ticket(const char *ticket, struct doctor_report *report)
{
    size_t len = ticket == NULL ? 0 : strlen(ticket);
    if (len > TICKET_SENT_MAX)
        doctor_find(report,
                    (struct doctor_head){"ticket", DOCTOR_PROBLEM,
                                         "Name fewer channels in it, or patterns."},
                    "the ticket has %zu bytes: above %d Apache refuses the header, and "
                    "lighttpd and nginx by default, too",
                    len, TICKET_SENT_MAX);
}

/* For a person who waits. */
static void
tell_wait(const struct settings *settings, const char *url)
{
    if (!settings->json && isatty(STDERR_FILENO))
        fprintf(stderr, "asking %s, and waiting up to %lld s for a heartbeat ...\n", url,
                (long long)(settings->wait_ms / 1000));
}

static void
check_apache(const struct settings *settings, struct doctor_report *report)
{
    struct serving serving = {.count = 0};

    if (settings->database.db != NULL)
        doctor_find_serving(settings->database.db, &serving);
    doctor_judge_apache(settings->apache_config, doctor_max_streams(&serving), report);
}

static int
check_url(struct settings *settings, const char *url, struct doctor_report *report,
          struct error *error)
{
    struct http_evidence evidence;
    struct http_target target = {.url = url,
                                 .ticket = settings->ticket,
                                 .ca_file = settings->ca_file,
                                 .channel = settings->channel,
                                 .wait_ms = settings->wait_ms,
                                 .probe = settings->channel != NULL ? insert_probe : NULL,
                                 .arg = settings};

    if (settings->database.db != NULL)
        target.read_marks = read_marks;
    check_ticket(settings->ticket, report);
    tell_wait(settings, url);
    if (doctor_http_gather(&target, &evidence, error) != 0)
        return -1;
    doctor_judge(&evidence, report);
    return 0;
}

static int
check_all(struct settings *settings, const char *url, struct doctor_report *report,
          struct error *error)
{
    struct doctor_database database = {.path = settings->database.db,
                                       .table = settings->database.table,
                                       .user = settings->user,
                                       .streams = settings->streams};

    if (database.path != NULL && doctor_check_database(&database, report, error) != 0)
        return -1;
    if (settings->from != NULL)
        doctor_judge_log(settings->from, database.table, database.path, report);
    if (settings->lighttpd_config != NULL)
        doctor_judge_lighttpd(settings->lighttpd_config, settings->streams, report);
    if (settings->apache_config != NULL)
        check_apache(settings, report);
    return url != NULL ? check_url(settings, url, report, error) : 0;
}

int
cmd_doctor(char **argv)
{
    struct settings settings = {0};
    struct doctor_report report = {.count = 0};
    const char *operands[2];
    struct error error;

    switch (options_parse(&cmd_doctor_command, argv, &settings, operands, &error)) {
    case OPTIONS_EXIT:
        return CMD_OK;
    case OPTIONS_USAGE:
        return cmd_usage(cmd_doctor_command.name, &error);
    case OPTIONS_OK:
        break;
    }
    report.prints = !settings.json;
    if (check_settings(&settings, operands[0], &error) != 0 ||
        check_all(&settings, operands[0], &report, &error) != 0)
        return cmd_usage(cmd_doctor_command.name, &error);
    if (report.failed || (settings.json && doctor_print_json(&report) != 0)) {
        error_set(&error, "the findings could not be printed: %s", strerror(errno));
        return cmd_fail(cmd_doctor_command.name, &error);
    }
    return doctor_worst(&report) >= DOCTOR_WARNING ? CMD_FAILED : CMD_OK;
}
