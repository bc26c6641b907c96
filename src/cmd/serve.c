/* serve.c - `rowcast serve`: its options, and in which of its ways it was started.
 *
 * With --listen it makes its own socket. Without, it takes what its parent left: sockets of
 * systemd, the listening socket on fd 0 of a web server or spawn-fcgi, or the environment of a
 * plain CGI request. */
#include "config.h"

#include "cmd/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/keys.h"
#include "fastcgi/libfcgi.h"
#include "hub/hub.h"
#include "limits/limits.h"
#include "fastcgi/listen.h"
#include "base/log.h"
#include "push/hosts.h"
#include "push/vapid.h"
#include "serve/serve.h"
#include "serve/workers.h"

/* What an address space has room for; the option's value becomes a size_t. */
#define WINDOW_BYTES_MAX (SIZE_MAX > UINT32_MAX ? INT64_C(1) << 32 : INT64_C(1) << 30)
_Static_assert((uint64_t)WINDOW_BYTES_MAX <= SIZE_MAX, "no size wraps around");

#define DAY_MS INT64_C(86400000)

#define OPTION(field, ...) CMD_OPTION(struct serve_settings, field, __VA_ARGS__)

static const struct option options[] = {
    OPTION(db, "db", OPTION_TEXT, .value_name = "FILE", .help = "the database"),
    OPTION(table, "table", OPTION_TEXT, .value_name = "NAME",
           .fallback = STORE_DEFAULT_TABLE, .help = "the table or view to tail"),
    OPTION(listen, "listen", OPTION_TEXT, .value_name = "ADDRESS",
           .help = "unix:PATH, HOST:PORT or [V6]:PORT; without: what the parent left"),
    OPTION(listen_mode, "listen-mode", OPTION_MODE, .value_name = "MODE",
           .fallback = "0660", .max = 0777, .help = "permissions of the Unix socket"),
    OPTION(mount, "mount", OPTION_TEXT, .value_name = "PATH",
           .help =
               "for web servers that do not split the path: the URL's, such as /events"),
    OPTION(heartbeat_ms, "heartbeat", OPTION_SECONDS, .value_name = "SECONDS",
           .fallback = "15", .max = DAY_MS,
           .help = "a heartbeat after that silence; 0: off"),
    OPTION(retry_ms, "retry", OPTION_COUNT, .value_name = "MS", .fallback = "3000",
           .min = 1, .max = 3600000,
           .help = "how long browsers wait before they reconnect"),
    OPTION(max_streams, "max-streams", OPTION_COUNT, .value_name = "N", .fallback = "0",
           .max = 1000000, .help = "0: as many as descriptors allow"),
    OPTION(max_per_user, "max-streams-per-user", OPTION_COUNT, .value_name = "N",
           .fallback = "0", .max = 1000000, .help = "0: no limit"),
    OPTION(max_per_address, "max-streams-per-address", OPTION_COUNT, .value_name = "N",
           .fallback = "0", .max = 1000000, .help = "0: no limit"),
    OPTION(connect_rate, "connect-rate", OPTION_COUNT, .value_name = "N", .fallback = "0",
           .max = LIMITS_CONNECTS_MAX,
           .help = "requests of one address in a minute; 0: no limit"),
    OPTION(max_age_ms, "max-age", OPTION_SECONDS, .value_name = "SECONDS", .fallback = "0",
           .max = 365 * DAY_MS,
           .help = "end each stream at that age, within 10 %; 0: never"),
    OPTION(max_lag_ms, "max-lag", OPTION_SECONDS, .value_name = "SECONDS", .fallback = "0",
           .max = 365 * DAY_MS,
           .help = "health is 503 while a follower's file is older; 0: no bound"),
    OPTION(stall_ms, "stall-timeout", OPTION_SECONDS, .value_name = "SECONDS",
           .fallback = "60", .max = DAY_MS,
           .help = "close a stream that takes nothing for this time; 0: never"),
    OPTION(window_bytes, "window-bytes", OPTION_SIZE, .value_name = "SIZE",
           .fallback = "4M", .max = WINDOW_BYTES_MAX,
           .help = "memory for the newest events"),
    OPTION(max_event_bytes, "max-event-bytes", OPTION_SIZE, .value_name = "SIZE",
           .fallback = "1M", .min = 1, .max = INT64_C(1) << 28,
           .help = "larger data is announced, not sent"),
    OPTION(keep_age_ms, "keep-age", OPTION_AGE, .value_name = "AGE", .fallback = "0",
           .help = "delete older rows in the background: 90s, 10m, 2h, 7d; 0: never"),
    OPTION(keep_rows, "keep-rows", OPTION_COUNT, .value_name = "N", .fallback = "0",
           .max = ROW_ID_MAX,
           .help = "delete all but the newest N rows in the background; 0: never"),
    OPTION(workers, "workers", OPTION_COUNT, .value_name = "N", .fallback = "1", .min = 1,
           .max = WORKERS_MAX, .help = "processes that share the listening socket"),
    OPTION(cors_origins, "cors-origin", OPTION_LIST, .value_name = "ORIGIN",
           .help = "origin whose pages may read, or *; repeatable"),
    OPTION(ticket_key_file, "ticket-key-file", OPTION_TEXT, .value_name = "FILE",
           .help = "secret or public keys of tickets; without: there are no tickets"),
    OPTION(require_ticket, "require-ticket", OPTION_FLAG,
           .help = "refuse streams without a ticket"),
    OPTION(ticket_audience, "ticket-audience", OPTION_TEXT, .value_name = "NAME",
           .help = "accept only tickets with that aud"),
    OPTION(presence, "presence", OPTION_FLAG,
           .help = "the view rowcast_presence says who is connected"),
    OPTION(presence_channel, "presence-channel", OPTION_TEXT, .value_name = "NAME",
           .help =
               "and rows on this channel say who comes and leaves: events join and leave"),
    OPTION(read_marks, "read-marks", OPTION_CHOICE, .value_name = "on|off",
           .fallback = "on", .help = "POST to /read says what a user has read"),
    OPTION(revocation, "revocation", OPTION_CHOICE, .value_name = "on|off",
           .fallback = "on", .help = "rows of rowcast_revocation end the streams of users"),
    OPTION(allow_publish, "allow-publish", OPTION_FLAG,
           .help = "POST inserts rows, if ROWCAST_PUBLISH or a ticket allows it"),
    OPTION(read_only, "read-only", OPTION_FLAG,
           .help = "for a file that something else replicates: write nothing"),
    OPTION(vapid_key_file, "vapid-key-file", OPTION_TEXT, .value_name = "FILE",
           .help = "key of Web Push; without: browsers cannot subscribe"),
    OPTION(push_hosts, "push-host", OPTION_LIST, .value_name = "HOST",
           .help =
               "host of a push service, *.DOMAIN or a whole origin; repeatable; without: "
               "those of Google, Mozilla, Microsoft and Apple"),
    OPTION(max_push_per_user, "max-push-per-user", OPTION_COUNT, .value_name = "N",
           .fallback = "20", .max = 1000000, .help = "subscriptions; 0: no limit"),
    OPTION(max_push_per_address, "max-push-per-address", OPTION_COUNT, .value_name = "N",
           .fallback = "100", .max = 1000000, .help = "subscriptions; 0: no limit"),
    OPTION(max_push, "max-push", OPTION_COUNT, .value_name = "N", .fallback = "100000",
           .max = 10000000, .help = "subscriptions of all together; 0: no limit"),
    OPTION(drain_ms, "drain", OPTION_SECONDS, .value_name = "SECONDS", .fallback = "5",
           .max = 3600000, .help = "how long rowcast may take to end"),
    OPTION(request_timeout_ms, "request-timeout", OPTION_SECONDS, .value_name = "SECONDS",
           .fallback = "10", .min = 100, .max = 3600000,
           .help = "how long a request may take to arrive"),
    OPTION(log_level, "log-level", OPTION_CHOICE, .value_name = "error|warn|info|debug",
           .fallback = "info", .help = "what to log"),
    OPTION(log_to, "log-to", OPTION_TEXT, .value_name = "WHERE", .fallback = "stderr",
           .help = "stderr, syslog, journal or a file from the root"),
    OPTION(no_confine, "no-confine", OPTION_FLAG,
           .help = "do not drop the rights that the process does not need"),
    OPTION(check, "check", OPTION_FLAG, .has_no_variable = true,
           .help = "check options, keys and database, and exit: 0 when all is well"),
    {.name = NULL},
};

const struct command cmd_serve_command = {
    .name = "serve",
    .operands = "",
    .summary = "Streams new rows of a table to browsers, as a FastCGI responder or a CGI "
               "program behind a web server.",
    .options = options,
};

static int
serve_fastcgi(const struct serve_settings *settings, struct listeners *listeners)
{
    struct error error = {""};
    int result = workers_run(settings, listeners, &error);
    listeners_close(listeners);
    return result == 0 ? CMD_OK : cmd_fail(cmd_serve_command.name, &error);
}

static bool
is_cgi(void)
{
    return getenv("GATEWAY_INTERFACE") != NULL && getenv("REQUEST_METHOD") != NULL;
}

/* A CGI program that fails says so to the browser too, or the web server says less. */
static int
fail_cgi(int code)
{
    printf(
        "Status: 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
        "Cache-Control: no-store\r\n\r\nrowcast cannot serve: see the web server's log\n");
    return code;
}

static int
serve_cgi(const struct serve_settings *settings)
{
    struct error error = {""};
    struct hub_counters counters = {0};
    struct serve_worker worker = {.counters = &counters, .count = 1};
    if (serve_run(settings, SERVE_CGI, NULL, &worker, &error) == 0)
        return CMD_OK;
    return fail_cgi(cmd_fail(cmd_serve_command.name, &error));
}

static bool
ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* An origin as browsers send it (RFC 6454 section 6.2): anything else would never match. */
static bool
is_origin(const char *text)
{
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    const char *host = strstr(text, "://");
    if (host == NULL || host == text || host[3] == '\0')
        return false;
    for (const char *p = text; *p != '\0'; p++)
        if ((*p >= 'A' && *p <= 'Z') || *p <= ' ' || *p >= 0x7f)
            return false;
    if ((strncmp(text, "https:", 6) == 0 && ends_with(text, ":443")) ||
        (strncmp(text, "http:", 5) == 0 && ends_with(text, ":80")))
        return false;
    return strpbrk(host + 3, "/?#*@") == NULL;
}

static int
check_origins(const struct text_list *origins, struct error *error)
{
    for (size_t i = 0; i < origins->count; i++) {
        char quoted[128];
        if (!is_origin(origins->items[i]))
            return error_set(error,
                             "--cors-origin: %s is not an origin such as "
                             "https://www.example.org:8443 (lower case, no port where it "
                             "is the usual one, nothing behind it, no pattern), nor *",
                             log_quote(quoted, sizeof quoted, origins->items[i]));
    }
    return 0;
}

/* As the path of a URL has it before what rowcast picks its resources by. */
static int
check_mount(const char *mount, struct error *error)
{
    char quoted[128];
    size_t len = mount == NULL ? 0 : strlen(mount);
    if (mount == NULL || (len > 1 && mount[0] == '/' && mount[len - 1] != '/'))
        return 0;
    return error_set(error,
                     "--mount: %s is not a path such as /events: with a slash at its "
                     "beginning and none at its end",
                     log_quote(quoted, sizeof quoted, mount));
}

static int
check_tickets(const struct serve_settings *settings, struct error *error)
{
    if (settings->ticket_key_file != NULL)
        return 0;
    if (settings->require_ticket)
        return error_set(error, "--require-ticket needs --ticket-key-file FILE");
    if (settings->ticket_audience != NULL)
        return error_set(error, "--ticket-audience needs --ticket-key-file FILE");
    return 0;
}

static int
check_read_only(const struct serve_settings *settings, struct error *error)
{
    if (!settings->read_only)
        return 0;
    if (settings->allow_publish)
        return error_set(error, "--read-only and --allow-publish exclude each other");
    if (settings->presence || settings->presence_channel != NULL)
        return error_set(error, "--read-only and --presence exclude each other");
    if (settings->vapid_key_file != NULL)
        return error_set(error, "--read-only and --vapid-key-file exclude each other");
    if (settings->keep_age_ms != 0 || settings->keep_rows != 0)
        return error_set(error, "--read-only deletes no rows: leave --keep-age and "
                                "--keep-rows out");
    return 0;
}

static int
check_log(const struct serve_settings *settings, struct error *error)
{
    char quoted[128];
    enum log_sink to;
    if (log_parse_to(settings->log_to, &to) == 0)
        return 0;
    return error_set(error,
                     "--log-to: %s is none of stderr, syslog, journal, nor a file's path "
                     "from the root",
                     log_quote(quoted, sizeof quoted, settings->log_to));
}

/* With the sockets that are there: our own, or what the parent left. */
static int
serve_sockets(const struct serve_settings *settings)
{
    struct listeners listeners;
    struct error error = {""};
    if (settings->listen != NULL) {
        int result = listeners_open(&listeners, settings->listen,
                                    (mode_t)settings->listen_mode, &error);
        if (result != 0)
            return result == LISTEN_USAGE ? cmd_usage(cmd_serve_command.name, &error)
                                          : cmd_fail(cmd_serve_command.name, &error);
        return serve_fastcgi(settings, &listeners);
    }
    int inherited = listeners_inherit(&listeners, &error);
    if (inherited < 0)
        return cmd_fail(cmd_serve_command.name, &error);
    if (inherited > 0)
        return serve_fastcgi(settings, &listeners);
    if (getenv("REQUEST_METHOD") != NULL && libfcgi_is_cgi())
        return serve_cgi(settings);
    error_set(&error,
              "where to listen? Give --listen unix:PATH or HOST:PORT; without it a web "
              "server, spawn-fcgi or systemd must start rowcast and pass the socket");
    return cmd_usage(cmd_serve_command.name, &error);
}

/* What would keep it from serving, or from serving well. Makes no file and no socket. */
static int
check_serving(const struct serve_settings *settings, struct error *error)
{
    struct store_config config = {.path = settings->db,
                                  .table = settings->table,
                                  .mode = STORE_INSPECT,
                                  .busy_ms = CMD_BUSY_MS};
    struct store_marks marks;

    if (settings->ticket_key_file != NULL) {
        struct ticket_keys *keys =
            ticket_keys_load(settings->ticket_key_file, TICKET_VERIFIES, NULL, error);
        if (keys == NULL)
            return -1;
        ticket_keys_free(keys);
    }
    if (settings->vapid_key_file != NULL) {
        struct vapid_keys *keys = vapid_keys_load(settings->vapid_key_file, NULL, error);
        if (keys == NULL)
            return -1;
        vapid_keys_free(keys);
    }
    struct store *store = store_open(&config, NULL, error);
    if (store == NULL)
        return -1;
    int result = store_read_marks(store, &marks, error) == STORE_OK ? 0 : -1;
    if (result == 0 && store_fault(store) != NULL)
        result = error_set(error, "%s", store_fault(store));
    store_close(store);
    return result;
}

static int
report_check(const struct serve_settings *settings)
{
    struct error error;
    if (check_serving(settings, &error) != 0)
        return cmd_fail(cmd_serve_command.name, &error);
    printf("the options are good, and table %s of %s can be served\n", settings->table,
           settings->db);
    return CMD_OK;
}

/* What the ranges of the options do not say. */
static int
check_settings(const struct serve_settings *settings, struct error *error)
{
    if (settings->db == NULL)
        return error_set(error, "which database? Give --db FILE or set ROWCAST_DB");
    if (check_origins(&settings->cors_origins, error) != 0 ||
        check_mount(settings->mount, error) != 0 || check_tickets(settings, error) != 0 ||
        check_read_only(settings, error) != 0 || check_log(settings, error) != 0)
        return -1;
    return push_hosts_check(&settings->push_hosts, error);
}

static int
run(const struct serve_settings *settings)
{
    if (settings->check)
        return report_check(settings);
    return is_cgi() ? serve_cgi(settings) : serve_sockets(settings);
}

int
cmd_serve(char **argv)
{
    struct serve_settings settings;
    struct error error = {""};
    const char *operands[1];
    int code = CMD_OK;
    enum options_result parsed =
        options_parse(&cmd_serve_command, argv, &settings, operands, &error);
    if (parsed == OPTIONS_OK && check_settings(&settings, &error) != 0)
        parsed = OPTIONS_USAGE;
    if (parsed == OPTIONS_OK) {
        code = run(&settings);
    } else if (parsed == OPTIONS_USAGE) {
        code = cmd_usage(cmd_serve_command.name, &error);
        code = is_cgi() ? fail_cgi(code) : code;
    }
    options_free(&cmd_serve_command, &settings);
    return code;
}
