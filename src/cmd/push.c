/* push.c - `rowcast push`: makes a VAPID key, sends rows to subscriptions, or tries one.
 *
 * The sender is a service of its own: it is the only part of rowcast that calls other machines. */
#include "config.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "base/metrics_file.h"
#include "feed/watch.h"
#include "push/hosts.h"
#include "push/sender.h"
#include "push/transport.h"
#include "push/try.h"

#define MOST_OPEN_DEFAULT "200"
#define MOST_OPEN_MAX 10000
#define METRICS_MS 10000

struct settings {
    struct cmd_database database;
    const char *key_file;
    const char *subject;
    struct text_list hosts;
    const char *ca_file;
    int64_t most_open;
    const char *metrics;
    int log_level;
    const char *log_to;
    const char *new_key;
    const char *test;
};

#define OPTION(field, ...) CMD_OPTION(struct settings, field, __VA_ARGS__)

static const struct option options[] = {
    CMD_DATABASE_OPTIONS(struct settings),
    OPTION(key_file, "vapid-key-file", OPTION_TEXT, .value_name = "FILE",
           .help = "the key that browsers subscribed with"),
    OPTION(subject, "subject", OPTION_TEXT, .value_name = "URL",
           .help = "mailto: or https:, whom a push service may ask"),
    OPTION(hosts, "push-host", OPTION_LIST, .value_name = "HOST",
           .help =
               "host of a push service, *.DOMAIN or a whole origin; repeatable; without: "
               "those of Google, Mozilla, Microsoft and Apple"),
    OPTION(ca_file, "ca-file", OPTION_TEXT, .value_name = "FILE",
           .help = "authorities of certificates, instead of the system's"),
    OPTION(most_open, "max-requests", OPTION_COUNT, .value_name = "N",
           .fallback = MOST_OPEN_DEFAULT, .min = 1, .max = MOST_OPEN_MAX,
           .help = "messages that are under way at once"),
    OPTION(metrics, "metrics", OPTION_TEXT, .value_name = "FILE",
           .help = "write counters there, for Prometheus' textfile collector"),
    OPTION(log_level, "log-level", OPTION_CHOICE, .value_name = "error|warn|info|debug",
           .fallback = "info", .help = "what is logged"),
    OPTION(log_to, "log-to", OPTION_TEXT, .value_name = "WHERE", .fallback = "stderr",
           .help = "stderr, syslog, journal or a file from the root"),
    OPTION(new_key, "new-key", OPTION_TEXT, .value_name = "FILE", .has_no_variable = true,
           .help = "make a key, print its public part, and exit"),
    OPTION(test, "test", OPTION_TEXT, .value_name = "ENDPOINT", .has_no_variable = true,
           .help = "send a test notification to one subscription, and exit"),
    {.name = NULL},
};

const struct command cmd_push_command = {
    .name = "push",
    .operands = "",
    .summary =
        "Sends rows by Web Push to the browsers that have subscribed, also while their "
        "pages are closed. It runs until it is stopped.",
    .options = options,
};

/* --- a key -------------------------------------------------------------------------- */

static int
make_key(const char *path)
{
    struct error error;
    char public_text[VAPID_PUBLIC_TEXT];
    if (vapid_make_file(path, public_text, &error) != 0)
        return cmd_fail(cmd_push_command.name, &error);
    if (printf("%s\n", public_text) >= 0 && fflush(stdout) == 0)
        return CMD_OK;
    error_set(&error, "the public key could not be printed: %s", strerror(errno));
    return cmd_fail(cmd_push_command.name, &error);
}

/* --- a test ------------------------------------------------------------------------- */

static int
try_one(const struct sender_config *config, const char *endpoint)
{
    struct error error;
    struct try_answer answer = {0};
    if (try_endpoint(config, endpoint, &answer, &error) != 0)
        return cmd_fail(cmd_push_command.name, &error);
    if (answer.status >= 200 && answer.status < 300) {
        printf("the push service has taken the message (%d)\n", answer.status);
        return CMD_OK;
    }
    if (answer.status == 0)
        error_set(&error, "no answer of the push service: %s", answer.why);
    else if (answer.status == 404 || answer.status == 410)
        error_set(&error, "the push service does not know the subscription any more (%d)",
                  answer.status);
    else if (answer.status == 401 || answer.status == 403)
        error_set(&error,
                  "the push service does not accept the key (%d): is it the one that the "
                  "browser subscribed with, and is the clock right?",
                  answer.status);
    else
        error_set(&error, "the push service answers %d", answer.status);
    return cmd_fail(cmd_push_command.name, &error);
}

/* --- the service -------------------------------------------------------------------- */

struct service_run {
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_timer_t timer;
    struct watch *watch;
    struct sender *sender;
    const struct settings *settings;
    const struct log *log;
};

static void
on_end(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static void
on_hangup(uv_signal_t *signal, int number)
{
    struct service_run *run = signal->data;
    struct error error;
    (void)number;
    if (log_reopen(run->log, &error) != 0)
        log_line(run->log, LOG_WARN, "%s", error.text);
}

static bool
on_look(void *arg, enum watch_reason reason)
{
    struct service_run *run = arg;
    if (reason == WATCH_FILES)
        watch_follow(run->watch, run->settings->database.db);
    return sender_look(run->sender, reason);
}

static void
write_metrics(const struct service_run *run)
{
    struct sender_counts counts = sender_count(run->sender);
    struct error error;
    const struct metrics_figure figures[] = {
        {"rowcast_push_sent_total", "counter", "Messages that push services have taken.",
         (double)counts.sent},
        {"rowcast_push_failed_total", "counter", "Tries that failed, and are repeated.",
         (double)counts.failed},
        {"rowcast_push_ended_total", "counter", "Subscriptions that have ended.",
         (double)counts.ended},
        {"rowcast_push_subscriptions", "gauge", "Subscriptions.",
         (double)counts.subscriptions},
        {"rowcast_push_queue", "gauge",
         "Subscriptions whose next row is on its way, or waits to be sent.",
         (double)counts.queued},
        {"rowcast_push_waiting", "gauge",
         "Subscriptions whose last try failed, and that wait for the next.",
         (double)counts.waiting},
    };
    if (run->settings->metrics != NULL &&
        metrics_file_write(run->settings->metrics, figures,
                           sizeof figures / sizeof *figures, &error) != 0)
        log_line(run->log, LOG_WARN, "%s", error.text);
}

static void
on_metrics(uv_timer_t *timer)
{
    write_metrics(timer->data);
}

static void
start_handles(struct service_run *run)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], numbers[i] == SIGHUP ? on_hangup : on_end,
                        numbers[i]);
    }
    uv_timer_init(&run->loop, &run->timer);
    run->timer.data = run;
    uv_timer_start(&run->timer, on_metrics, 0, METRICS_MS);
}

static void
end_run(struct service_run *run)
{
    write_metrics(run);
    watch_free(run->watch);
    sender_free(run->sender);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    uv_close((uv_handle_t *)&run->timer, NULL);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    uv_loop_close(&run->loop);
}

static int
run_service(const struct settings *settings, const struct sender_config *config,
            struct error *error)
{
    struct service_run run = {.settings = settings, .log = config->log};
    if (uv_loop_init(&run.loop) != 0)
        return error_set(error, "cannot start the event loop");
    signal(SIGPIPE, SIG_IGN);
    run.sender = sender_new(&run.loop, config, error);
    int result = run.sender == NULL ? -1 : sender_open(run.sender, error);
    if (run.sender != NULL)
        start_handles(&run);
    if (result == 0)
        run.watch = watch_new(&run.loop, settings->database.db, on_look, &run, error);
    if (run.watch != NULL) {
        log_line(config->log, LOG_INFO, "rowcast %s pushes rows of %s", PACKAGE_VERSION,
                 settings->database.db);
        uv_run(&run.loop, UV_RUN_DEFAULT);
    }
    result = run.watch != NULL ? 0 : -1;
    if (run.sender != NULL)
        end_run(&run);
    return result;
}

/* Two senders of one database would send everything twice. The kernel lets go of the lock with the
 * process. */
static int
lock_database(const char *db, struct error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s-push", db);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (fd < 0)
        return error_set(error, "%s: cannot be made: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return error_set(error, "another rowcast push is at work on %s", db);
}

static int
run_locked(const struct settings *settings, const struct sender_config *config)
{
    struct error error;
    int fd = lock_database(settings->database.db, &error);
    if (fd < 0)
        return cmd_fail(cmd_push_command.name, &error);
    int result = run_service(settings, config, &error);
    close(fd);
    return result == 0 ? CMD_OK : cmd_fail(cmd_push_command.name, &error);
}

/* --- options ------------------------------------------------------------------------ */

/* RFC 8292 section 2.1. Apple refuses a subject that is neither. */
static bool
is_subject(const char *text)
{
    const char *at = strchr(text, '@');
    bool is_plain = strpbrk(text, " \t\"\\<>") == NULL;
    if (strncasecmp(text, "mailto:", 7) == 0)
        return is_plain && at != NULL && at > text + 7 && at[1] != '\0';
    return is_plain && strncasecmp(text, "https://", 8) == 0 && text[8] != '\0';
}

static int
check_settings(const struct settings *settings, struct error *error)
{
    enum log_sink to;
    char quoted[128];
    if (settings->database.db == NULL)
        return error_set(error, "which database? Give --db FILE or set ROWCAST_DB");
    if (settings->key_file == NULL)
        return error_set(error, "which key? Give --vapid-key-file FILE (rowcast push "
                                "--new-key FILE makes one)");
    if (settings->subject == NULL)
        return error_set(error, "whom may a push service ask? Give --subject "
                                "mailto:admin@example.org");
    if (!is_subject(settings->subject))
        return error_set(error, "--subject: %s is neither mailto:NAME@HOST nor https://...",
                         log_quote(quoted, sizeof quoted, settings->subject));
    if (log_parse_to(settings->log_to, &to) != 0)
        return error_set(error, "--log-to: give stderr, syslog, journal or a path from the "
                                "root");
    return push_hosts_check(&settings->hosts, error);
}

static int
run_with_keys(const struct settings *settings, const struct log *log)
{
    struct error error;
    struct vapid_keys *keys = vapid_keys_load(settings->key_file, log, &error);
    if (keys == NULL)
        return cmd_fail(cmd_push_command.name, &error);
    const struct sender_config config = {.path = settings->database.db,
                                         .table = settings->database.table,
                                         .hosts = &settings->hosts,
                                         .keys = keys,
                                         .subject = settings->subject,
                                         .ca_file = settings->ca_file,
                                         .most_open = settings->most_open,
                                         .log = log};
    int code = settings->test != NULL ? try_one(&config, settings->test)
                                      : run_locked(settings, &config);
    vapid_keys_free(keys);
    return code;
}

static int
run_with_log(const struct settings *settings)
{
    struct error error = {""};
    struct log log;
    struct log_config config = {.level = (enum log_level)settings->log_level,
                                .file = settings->log_to};
    if (check_settings(settings, &error) != 0)
        return cmd_usage(cmd_push_command.name, &error);
    log_parse_to(settings->log_to, &config.to);
    if (log_open(&log, &config, &error) != 0)
        return cmd_fail(cmd_push_command.name, &error);
    int code = run_with_keys(settings, &log);
    log_close(&log);
    return code;
}

int
cmd_push(char **argv)
{
    struct settings settings;
    struct error error = {""};
    const char *operands[1];
    int code = CMD_OK;
    enum options_result parsed =
        options_parse(&cmd_push_command, argv, &settings, operands, &error);
    if (parsed == OPTIONS_USAGE)
        code = cmd_usage(cmd_push_command.name, &error);
    else if (parsed == OPTIONS_OK)
        code = settings.new_key != NULL ? make_key(settings.new_key) : run_with_log(&settings);
    options_free(&cmd_push_command, &settings);
    return code;
}
