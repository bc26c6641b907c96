/* load.c - readers and a writer in one process; lines on stdin are its commands.
 *
 * bench/run (Python) starts one for each thing that it measures and reads one line of JSON for
 * each command. Everything that costs time is here; the driver only asks /proc before and
 * after. One thread reads streams (crowd.c), this one writes rows (rows.c), so both stamp the
 * same clock.
 *
 *     load (--fcgi SOCKET | --http PORT) [--path /events] [--opening LINE]
 *          (--db FILE | --trivial CONTROL | --post PORT TARGET)
 *
 *     open COUNT QUERY         streams; waits until each is open
 *     replay COUNT ROWS QUERY  the same, and until each has had the rows 0 to ROWS - 1
 *     rows COUNT BATCH GAP_US  writes rows, BATCH in one commit, GAP_US between commits on the
 *                              average; 0: as fast as it can; -1: when all have the last batch
 *     receivers N              of each row; 0: all streams
 *     delays 0|1               with the quantiles of each row's way to each stream
 *     channel NAME, size BYTES, record EVENTS, next NUMBER: what the next rows are like
 *     sql TEXT | mute | unmute | await EVENTS | close | quit */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "crowd.h"
#include "event_line.h"
#include "rows.h"

#define WAIT_MS 120000
#define DELAYS_MAX ((size_t)4 << 20)
#define QUANTILES 200 /* of the distribution that is plotted */

struct load {
    struct crowd_config config;
    struct crowd *crowd;
    struct rows *rows;
    int streams;
    int receivers; /* 0: all */
    bool delays;
    uint32_t seed;
};

static void
fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

/* --- answers ------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void
print_delays(struct load *load)
{
    size_t count;
    int64_t *delays = crowd_delays(load->crowd, &count);

    if (!load->delays || count == 0)
        return;
    qsort(delays, count, sizeof *delays, compare);
    printf(",\"median_us\":%.1f,\"p99_us\":%.1f,\"quantiles_us\":[",
           (double)delays[count / 2] / 1000,
           (double)delays[count - 1 - count / 100] / 1000);
    for (size_t i = 0; i <= QUANTILES; i++)
        printf("%s%.1f", i == 0 ? "" : ",",
               (double)delays[(count - 1) * i / QUANTILES] / 1000);
    printf("]");
}

static void
answer(struct load *load, int64_t wall_ns, int64_t write_ns, bool whole)
{
    printf("{\"wall_us\":%.1f,\"write_us\":%.1f,\"streams\":%d,\"events\":%lld,"
           "\"faults\":%lld,\"whole\":%s",
           (double)wall_ns / 1000, (double)write_ns / 1000, load->streams,
           (long long)crowd_events(load->crowd), (long long)crowd_faults(load->crowd),
           whole ? "true" : "false");
    print_delays(load);
    puts("}");
    fflush(stdout);
}

/* --- commands ------------------------------------------------------------------------ */

static void
command_open(struct load *load, const char *args)
{
    int count = 0;
    int query_at = 0;

    if (sscanf(args, "%d %n", &count, &query_at) < 1)
        fail("open COUNT QUERY");
    int64_t start_ns = now_ns();
    int result = crowd_open(load->crowd, count, args + query_at, rows_next(load->rows));
    load->streams += count;
    answer(load, now_ns() - start_ns, 0, result == 0);
}

static void
command_replay(struct load *load, const char *args)
{
    int count = 0;
    int query_at = 0;
    long rows = 0;

    if (sscanf(args, "%d %ld %n", &count, &rows, &query_at) < 2)
        fail("replay COUNT ROWS QUERY");
    int64_t before = crowd_events(load->crowd);
    int64_t start_ns = now_ns();
    bool whole = crowd_open(load->crowd, count, args + query_at,
                            rows_next(load->rows) - rows) == 0 &&
                 crowd_wait(load->crowd, before + count * rows, WAIT_MS);
    load->streams += count;
    answer(load, crowd_reached_ns(load->crowd) - start_ns, 0, whole);
}

/* Half to one and a half of the mean gap, so that no rhythm of anybody's fits. */
static void
pause_between(struct load *load, long gap_us)
{
    load->seed = load->seed * 1664525 + 1013904223;
    int64_t ns = gap_us * 500 + gap_us * (int64_t)(load->seed >> 8) / (1 << 24) * 1000;
    struct timespec pause = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR)
        ;
}

static void
command_rows(struct load *load, const char *args)
{
    int count = 0;
    int batch = 1;
    long gap_us = 0;

    if (sscanf(args, "%d %d %ld", &count, &batch, &gap_us) < 3)
        fail("rows COUNT BATCH GAP_US");
    if (!crowd_keep_delays(load->crowd, load->delays ? DELAYS_MAX : 0))
        fail("out of memory");
    int receivers = load->receivers > 0 ? load->receivers : load->streams;
    int64_t target = crowd_events(load->crowd);
    int64_t write_ns = 0;
    int64_t start_ns = now_ns();
    bool whole = true;
    for (int done = 0; done < count && whole; done += batch) {
        int now = batch < count - done ? batch : count - done;
        int64_t before_ns = now_ns();
        rows_write(load->rows, now);
        write_ns += now_ns() - before_ns;
        target += (int64_t)now * receivers;
        if (gap_us > 0)
            pause_between(load, gap_us);
        else if (gap_us < 0)
            whole = crowd_wait(load->crowd, target, WAIT_MS);
    }
    if (receivers > 0 && gap_us >= 0)
        whole = crowd_wait(load->crowd, target, WAIT_MS);
    int64_t end_ns = receivers > 0 ? crowd_reached_ns(load->crowd) : now_ns();
    answer(load, end_ns - start_ns, write_ns, whole && crowd_events(load->crowd) == target);
}

/* Commands that set something and answer nothing of their own. False: not one of them. */
static bool
run_setting(struct load *load, const char *name, const char *args)
{
    if (strcmp(name, "receivers") == 0)
        load->receivers = atoi(args);
    else if (strcmp(name, "delays") == 0)
        load->delays = atoi(args) != 0;
    else if (strcmp(name, "channel") == 0)
        rows_set_channel(load->rows, args);
    else if (strcmp(name, "size") == 0)
        rows_set_size(load->rows, atoi(args));
    else if (strcmp(name, "record") == 0)
        rows_set_per_record(load->rows, atoi(args));
    else if (strcmp(name, "next") == 0)
        rows_set_next(load->rows, atoll(args));
    else if (strcmp(name, "sql") == 0)
        rows_sql(load->rows, args);
    else if (strcmp(name, "mute") == 0 || strcmp(name, "unmute") == 0)
        crowd_mute(load->crowd, *name == 'm');
    else
        return false;
    return true;
}

static void
run_command(struct load *load, const char *name, const char *args)
{
    int64_t start_ns = now_ns();

    if (strcmp(name, "open") == 0) {
        command_open(load, args);
    } else if (strcmp(name, "replay") == 0) {
        command_replay(load, args);
    } else if (strcmp(name, "rows") == 0) {
        command_rows(load, args);
    } else if (strcmp(name, "await") == 0) {
        bool whole = crowd_wait(load->crowd, atoll(args), WAIT_MS);
        answer(load, now_ns() - start_ns, 0, whole);
    } else if (strcmp(name, "close") == 0) {
        crowd_close_all(load->crowd);
        load->streams = 0;
        answer(load, now_ns() - start_ns, 0, true);
    } else if (run_setting(load, name, args)) {
        answer(load, now_ns() - start_ns, 0, true);
    } else {
        fail("unknown command");
    }
}

/* --- main ---------------------------------------------------------------------------- */

static void
parse_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {{"fcgi", required_argument, NULL, 'f'},
                                            {"http", required_argument, NULL, 'h'},
                                            {"path", required_argument, NULL, 'p'},
                                            {"opening", required_argument, NULL, 'o'},
                                            {"db", required_argument, NULL, 'd'},
                                            {"trivial", required_argument, NULL, 't'},
                                            {"post", required_argument, NULL, 'P'},
                                            {"any-opening", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f')
            load->config.target.fcgi_path = optarg;
        else if (c == 'h')
            load->config.target.http_port = atoi(optarg);
        else if (c == 'p')
            load->config.target.url_path = optarg;
        else if (c == 'o')
            load->config.opening = optarg;
        else if (c == 'a')
            load->config.opening = NULL;
        else if (c == 'd')
            load->rows = rows_to_database(optarg);
        else if (c == 't')
            load->rows = rows_to_trivial(optarg);
        else if (c == 'P' && optind < argc)
            load->rows = rows_to_http(atoi(optarg), argv[optind++]);
        else
            exit(2);
    }
    if (load->rows == NULL ||
        (load->config.target.fcgi_path == NULL) == (load->config.target.http_port == 0))
        fail("where to read and where to write: see the head of load.c");
}

int
main(int argc, char **argv)
{
    struct load load = {
        .config = {.target = {.url_path = "/events"}, .opening = "event: rowcast:open"},
        .seed = 1};
    struct rlimit limit;
    char line[4096];

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    parse_options(&load, argc, argv);
    load.crowd = crowd_new(&load.config);
    if (load.crowd == NULL)
        fail("out of memory or descriptors");
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *args = line + strcspn(line, " ");
        if (*args == ' ')
            *args++ = '\0';
        if (strcmp(line, "quit") == 0)
            break;
        run_command(&load, line, args);
    }
    crowd_free(load.crowd);
    rows_free(load.rows);
    return 0;
}
