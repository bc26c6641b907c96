/* latency.c - how long from the start of an INSERT until its event is on the FastCGI socket?
 *
 * Starts `rowcast serve` on a new database and a Unix socket in a temporary folder, opens
 * streams as a web server would, and inserts rows one by one, paced and with jitter, so that
 * each finds everybody asleep. Two threads: this one is the application (sqlite3, WAL), the
 * other the web server; both stamp CLOCK_MONOTONIC, so the times are comparable.
 *
 *     insert   around sqlite3_step of the INSERT, commit included
 *     event    from the start of the INSERT to its event, read from the socket of the last stream
 *     after    the same, from the return of the INSERT; negative where the event was quicker
 *
 * Then it counts the wake-ups of the rowcast process while no program writes. Not a test: numbers
 * depend on the machine. bench/latency.md says how to read them. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "fcgi_client.h"
#include "report.h"
#include "samples.h"
#include "site.h"

#define WAIT_MS 20000     /* for a start, an opening, the last event */
#define WARM_UP 20        /* rows before the measured ones: caches, page faults */
#define LINE_MAX_BYTES 64 /* of a line of the stream that we look at */
#define STREAMS_MAX 4096
#define ROWS_MAX 1000000

struct settings {
    const char *rowcast;
    const char *folder; /* where the temporary folder is made */
    struct setup setup;
    long rest_s;
    bool json;
};

struct stamps {
    int64_t start_ns;
    int64_t returned_ns;
    int64_t event_ns; /* when the last stream had it */
};

struct bench {
    const struct settings *settings;
    struct site site;
    sqlite3 *handle;
    sqlite3_stmt *insert;
    struct stream *streams;
    int epoll_fd;
    pthread_t reader;
    struct stamps *stamps; /* one for each row of the run */
    _Atomic long *copies;  /* how many streams have had row i */
    _Atomic long done;     /* rows that every stream has had */
    _Atomic long opened;   /* streams that have had their opening */
    _Atomic bool stop;
};

struct stream {
    struct fcgi_client client;
    struct bench *bench;
    char line[LINE_MAX_BYTES];
    size_t line_len; /* may exceed the buffer: the line is then not one of ours */
};

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- start ------------------------------------------------------------------------------------ */

static void
open_database(struct bench *bench)
{
    if (sqlite3_open(bench->site.db, &bench->handle) != SQLITE_OK ||
        sqlite3_exec(bench->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_busy_timeout(bench->handle, 5000) != SQLITE_OK ||
        sqlite3_prepare_v2(bench->handle,
                           "INSERT INTO notification(channel, data) VALUES ('bench', ?)",
                           -1, &bench->insert, NULL) != SQLITE_OK)
        site_fail(&bench->site, "cannot open the database: %s",
                  sqlite3_errmsg(bench->handle));
}

/* Retries while rowcast is starting. */
static void
open_stream(struct bench *bench, struct stream *stream)
{
    static const char *const params[] = {
        "GATEWAY_INTERFACE=CGI/1.1",
        "SERVER_PROTOCOL=HTTP/1.1",
        "REQUEST_METHOD=GET",
        "SCRIPT_NAME=/events",
        "PATH_INFO=",
        "QUERY_STRING=channel=bench",
        "REQUEST_URI=/events?channel=bench",
        "REMOTE_ADDR=127.0.0.1",
        "HTTP_ACCEPT=text/event-stream",
        NULL,
    };
    int64_t deadline = now_ns() + (int64_t)WAIT_MS * 1000000;

    stream->bench = bench;
    while (fcgi_client_open(&stream->client, bench->site.socket) != 0) {
        if (!site_is_up(&bench->site) || now_ns() > deadline)
            site_fail(&bench->site, "rowcast serve does not listen on %s: %s",
                      bench->site.socket, strerror(errno));
        poll(NULL, 0, 5);
    }
    if (fcgi_client_send(&stream->client, params) != 0)
        site_fail(&bench->site, "cannot send a request: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    if (epoll_ctl(bench->epoll_fd, EPOLL_CTL_ADD, stream->client.fd, &event) != 0)
        site_fail(&bench->site, "epoll: %s", strerror(errno));
}

/* --- the web server's thread ---------------------------------------------------------------- */

/* A row's data is its number; rows of the warm-up have none that counts. */
static void
take_row(struct bench *bench, long row, int64_t at_ns)
{
    if (row < 0 || row >= bench->settings->setup.rows)
        return;
    long copies = atomic_fetch_add(&bench->copies[row], 1) + 1;
    if (copies == bench->settings->setup.streams) {
        bench->stamps[row].event_ns = at_ns;
        atomic_fetch_add(&bench->done, 1);
    }
}

static void
take_line(struct stream *stream)
{
    struct bench *bench = stream->bench;
    char *line = stream->line;

    if (stream->line_len >= sizeof stream->line)
        return;
    line[stream->line_len] = '\0';
    if (strncmp(line, "data: row ", 10) == 0)
        take_row(bench, strtol(line + 10, NULL, 10), now_ns());
    else if (strcmp(line, "event: rowcast:open") == 0)
        atomic_fetch_add(&bench->opened, 1);
}

static void
take_bytes(void *arg, const char *bytes, size_t len)
{
    struct stream *stream = arg;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            take_line(stream);
            stream->line_len = 0;
        } else {
            if (stream->line_len < sizeof stream->line)
                stream->line[stream->line_len] = bytes[i];
            stream->line_len++;
        }
    }
}

static void *
read_streams(void *arg)
{
    struct bench *bench = arg;
    struct epoll_event events[64];

    while (!atomic_load(&bench->stop)) {
        int count = epoll_wait(bench->epoll_fd, events, 64, 100);
        for (int i = 0; i < count; i++) {
            struct stream *stream = events[i].data.ptr;
            if (fcgi_client_read(&stream->client, take_bytes, stream) != CLIENT_OPEN) {
                fputs("latency: rowcast ended a stream\n", stderr);
                epoll_ctl(bench->epoll_fd, EPOLL_CTL_DEL, stream->client.fd, NULL);
            }
        }
    }
    return NULL;
}

/* --- the application ------------------------------------------------------------------------ */

static void
wait_for_count(struct bench *bench, _Atomic long *count, long enough, const char *what)
{
    int64_t deadline = now_ns() + (int64_t)WAIT_MS * 1000000;

    while (atomic_load(count) < enough) {
        if (now_ns() > deadline)
            site_fail(&bench->site, "only %ld of %ld %s", atomic_load(count), enough, what);
        poll(NULL, 0, 2);
    }
}

/* Half to one and a half of the mean gap, so that no rhythm of rowcast's own fits. */
static void
pause_between(long gap_us, uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    int64_t ns = (int64_t)gap_us * 500 + (int64_t)gap_us * (*seed >> 8) / (1 << 24) * 1000;
    struct timespec pause = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR)
        ;
}

/* Rows below 0 are the warm-up. */
static void
insert_row(struct bench *bench, long row)
{
    char data[32];

    snprintf(data, sizeof data, "row %ld", row);
    sqlite3_bind_text(bench->insert, 1, data, -1, SQLITE_STATIC);
    int64_t start_ns = now_ns();
    int result = sqlite3_step(bench->insert);
    int64_t returned_ns = now_ns();
    if (result != SQLITE_DONE)
        site_fail(&bench->site, "INSERT: %s", sqlite3_errmsg(bench->handle));
    sqlite3_reset(bench->insert);
    if (row >= 0) {
        bench->stamps[row].start_ns = start_ns;
        bench->stamps[row].returned_ns = returned_ns;
    }
}

static void
measure_run(struct bench *bench, const char *synchronous)
{
    const struct settings *settings = bench->settings;
    uint32_t seed = 1;
    char pragma[64];

    snprintf(pragma, sizeof pragma, "PRAGMA synchronous = %s", synchronous);
    if (sqlite3_exec(bench->handle, pragma, NULL, NULL, NULL) != SQLITE_OK)
        site_fail(&bench->site, "%s: %s", pragma, sqlite3_errmsg(bench->handle));
    for (long row = 0; row < settings->setup.rows; row++)
        atomic_store(&bench->copies[row], 0);
    atomic_store(&bench->done, 0);
    for (long row = -WARM_UP; row < settings->setup.rows; row++) {
        insert_row(bench, row);
        pause_between(settings->setup.gap_us, &seed);
    }
    wait_for_count(bench, &bench->done, settings->setup.rows, "rows reached every stream");
}

/* --- the results ------------------------------------------------------------------------------ */

enum span { SPAN_INSERT, SPAN_EVENT, SPAN_AFTER };

static struct quantiles
span_quantiles(const struct bench *bench, enum span span)
{
    size_t rows = (size_t)bench->settings->setup.rows;
    int64_t *ns = calloc(rows, sizeof *ns);

    for (size_t i = 0; ns != NULL && i < rows; i++) {
        const struct stamps *at = &bench->stamps[i];
        int64_t from = span == SPAN_AFTER ? at->returned_ns : at->start_ns;
        int64_t to = span == SPAN_INSERT ? at->returned_ns : at->event_ns;
        ns[i] = to - from;
    }
    struct quantiles quantiles =
        ns != NULL ? samples_quantiles(ns, rows) : (struct quantiles){0};
    free(ns);
    return quantiles;
}

static struct run
run_of(const struct bench *bench, const char *synchronous)
{
    return (struct run){
        .synchronous = synchronous,
        .insert = span_quantiles(bench, SPAN_INSERT),
        .event = span_quantiles(bench, SPAN_EVENT),
        .after = span_quantiles(bench, SPAN_AFTER),
    };
}

static struct rest
measure_rest(struct bench *bench)
{
    struct rest rest = {.seconds = bench->settings->rest_s};
    struct timespec pause = {.tv_sec = 1};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL); /* the last INSERT's retries end */
    long before = site_wake_ups(&bench->site);
    pause.tv_sec = rest.seconds;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    rest.wake_ups = site_wake_ups(&bench->site) - before;
    return rest;
}

/* --- main ----------------------------------------------------------------------------------- */

static void
usage(FILE *to)
{
    fputs("Usage: latency [OPTION...]\n\n"
          "  --rowcast FILE   the program [./rowcast]\n"
          "  --folder DIR     where the temporary database goes [$TMPDIR, else /tmp]\n"
          "  --rows N         rows for each synchronous mode [300]\n"
          "  --gap-us N       mean time between two of them [5000]\n"
          "  --streams N      open streams; an event counts when the last has it [1]\n"
          "  --rest SECONDS   length of the look at the wake-ups at rest [5]\n"
          "  --json           one JSON object instead of the table\n",
          to);
}

static long
number(const char *name, const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "latency: %s takes %ld to %ld, not '%s'\n", name, min, max, text);
        exit(2);
    }
    return value;
}

static void
parse_options(struct settings *settings, int argc, char **argv)
{
    static const struct option options[] = {
        {"rowcast", required_argument, NULL, 'p'},
        {"folder", required_argument, NULL, 'f'},
        {"rows", required_argument, NULL, 'n'},
        {"gap-us", required_argument, NULL, 'g'},
        {"streams", required_argument, NULL, 's'},
        {"rest", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p':
            settings->rowcast = optarg;
            break;
        case 'f':
            settings->folder = optarg;
            break;
        case 'n':
            settings->setup.rows = number("--rows", optarg, 1, ROWS_MAX);
            break;
        case 'g':
            settings->setup.gap_us = number("--gap-us", optarg, 0, 10000000);
            break;
        case 's':
            settings->setup.streams = number("--streams", optarg, 1, STREAMS_MAX);
            break;
        case 'r':
            settings->rest_s = number("--rest", optarg, 1, 3600);
            break;
        case 'j':
            settings->json = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
}

static void
start(struct bench *bench)
{
    const struct settings *settings = bench->settings;

    site_start(&bench->site, settings->rowcast, settings->folder);
    bench->stamps = calloc((size_t)settings->setup.rows, sizeof *bench->stamps);
    bench->copies = calloc((size_t)settings->setup.rows, sizeof *bench->copies);
    bench->streams = calloc((size_t)settings->setup.streams, sizeof *bench->streams);
    bench->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (bench->stamps == NULL || bench->copies == NULL || bench->streams == NULL ||
        bench->epoll_fd < 0)
        site_fail(&bench->site, "out of memory or descriptors");

    open_database(bench);
    for (long i = 0; i < settings->setup.streams; i++)
        open_stream(bench, &bench->streams[i]);
    if (pthread_create(&bench->reader, NULL, read_streams, bench) != 0)
        site_fail(&bench->site, "cannot start a thread");
    wait_for_count(bench, &bench->opened, settings->setup.streams, "streams opened");
}

static void
finish(struct bench *bench)
{
    atomic_store(&bench->stop, true);
    pthread_join(bench->reader, NULL);
    for (long i = 0; i < bench->settings->setup.streams; i++)
        fcgi_client_close(&bench->streams[i].client);
    close(bench->epoll_fd);
    sqlite3_finalize(bench->insert);
    sqlite3_close(bench->handle);
    site_stop(&bench->site);
    free(bench->streams);
    free(bench->copies);
    free(bench->stamps);
}

int
main(int argc, char **argv)
{
    static const char *const modes[] = {"NORMAL", "FULL"};
    enum { MODES = sizeof modes / sizeof *modes };
    const char *tmp = getenv("TMPDIR");
    struct settings settings = {
        .rowcast = "./rowcast",
        .folder = tmp != NULL ? tmp : "/tmp",
        .setup = {.rows = 300, .gap_us = 5000, .streams = 1},
        .rest_s = 5,
    };
    struct bench bench = {.settings = &settings};
    struct run runs[MODES];

    parse_options(&settings, argc, argv);
    start(&bench);
    for (size_t i = 0; i < MODES; i++) {
        measure_run(&bench, modes[i]);
        runs[i] = run_of(&bench, modes[i]);
    }
    struct rest rest = measure_rest(&bench);
    finish(&bench);
    if (settings.json)
        report_print_json(&settings.setup, runs, MODES, &rest);
    else
        report_print_table(&settings.setup, runs, MODES, &rest);
    return 0;
}
