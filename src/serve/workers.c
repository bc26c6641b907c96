/* workers.c - forks, watches and ends the workers; see serve/workers.h.
 *
 * cmd/serve.c calls it with open sockets. The parent blocks the signals that concern it and
 * waits for them one at a time, so nothing runs in a signal handler. */
#include "config.h"

#include "serve/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "hub/hub.h"
#include "base/log.h"
#include "serve/sd_notify.h"
#include "limits/limits.h"
#include "serve/retention.h"
#include "access/keys.h"
#include "people/presence.h"

/* A worker that dies younger than this is not started again at once: what kills it may still be
 * there. */
#define YOUNG_S 1
#define KILL_AFTER_DRAIN_S 2
/* A worker whose loop has not turned for so many intervals hangs: the watchdog's whole time, and
 * one more interval, as the parent's clock counts whole seconds. */
#define BEATS_MISSED 3

/* What parent and workers share. */
struct shared {
    struct hub_counters counters[WORKERS_MAX];
    uint64_t beats[WORKERS_MAX];
    struct hub_pages pages;
    struct hub_channels channels[WORKERS_MAX];
    char presence_names[WORKERS_MAX][PRESENCE_NAME_MAX];
};

struct workers {
    const struct serve_settings *settings;
    const struct listeners *listeners;
    struct log log;
    struct shared *shared;
    struct limits *limits;
    size_t count;
    uint64_t beat_ms; /* of the watchdog; 0: there is none */
    bool ending;      /* a worker that exits does as it was asked */
    pid_t parent;
    pid_t pids[WORKERS_MAX]; /* 0: not running */
    time_t started[WORKERS_MAX];
    time_t turned[WORKERS_MAX];  /* when its loop was last seen to turn */
    uint64_t beats[WORKERS_MAX]; /* that were seen then */
    sigset_t signals;
    sigset_t before;
};

static time_t
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static int
worker_main(const struct workers *workers, size_t number)
{
    struct serve_worker worker = {.counters = workers->shared->counters,
                                  .count = workers->count,
                                  .number = number,
                                  .limits = workers->limits,
                                  .pages = &workers->shared->pages,
                                  .channels = workers->shared->channels,
                                  .presence_name = workers->shared->presence_names[number],
                                  .beat_ms = workers->beat_ms,
                                  .beat = &workers->shared->beats[number]};
    struct error error = {""};
#ifdef __linux__
    /* When the parent is killed, now or before this line: do not live on unwatched. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != workers->parent)
        return 1;
#endif
    signal(SIGHUP, SIG_IGN); /* serve/serve.c takes it as soon as it can */
    sigprocmask(SIG_SETMASK, &workers->before, NULL);
    if (serve_run(workers->settings, SERVE_FASTCGI, workers->listeners, &worker, &error) ==
        0)
        return 0;
    log_line(&workers->log, LOG_ERROR, "worker %zu: %s", number, error.text);
    return 1;
}

static int
worker_start(struct workers *workers, size_t number)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(worker_main(workers, number));
    if (pid < 0) {
        log_line(&workers->log, LOG_ERROR, "cannot start worker %zu: %s", number,
                 strerror(errno));
        return -1;
    }
    workers->pids[number] = pid;
    workers->started[number] = workers->turned[number] = now_s();
    return 0;
}

static size_t
workers_alive(const struct workers *workers)
{
    size_t alive = 0;
    for (size_t i = 0; i < workers->count; i++)
        alive += workers->pids[i] != 0;
    return alive;
}

static uint64_t
workers_streams(const struct workers *workers)
{
    uint64_t streams = 0;
    for (size_t i = 0; i < workers->count; i++)
        streams += workers->shared->counters[i].streams;
    return streams;
}

/* Takes the exit codes of workers that have ended, and forgets what they had open. */
static void
workers_reap(struct workers *workers)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < workers->count; i++) {
            if (workers->pids[i] != pid)
                continue;
            workers->pids[i] = 0;
            hub_counters_forget_streams(&workers->shared->counters[i]);
            hub_channels_forget(&workers->shared->channels[i]);
            limits_forget(workers->limits, i);
            if (!workers->ending)
                log_line(&workers->log, LOG_ERROR, "worker %zu (pid %ld) died: %s %d", i,
                         (long)pid, WIFSIGNALED(status) ? "signal" : "exit code",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
}

/* Starts missing workers; a worker that died soon after its start comes back a second later. */
static void
workers_refill(struct workers *workers)
{
    for (size_t i = 0; i < workers->count; i++)
        if (workers->pids[i] == 0 && now_s() - workers->started[i] >= YOUNG_S)
            worker_start(workers, i);
}

static void
workers_signal(const struct workers *workers, int signum)
{
    for (size_t i = 0; i < workers->count; i++)
        if (workers->pids[i] != 0)
            kill(workers->pids[i], signum);
}

/* Waits for a signal, at most a second or the watchdog's interval. 0: none came. */
static int
workers_wait(const struct workers *workers)
{
    struct timespec wait = {.tv_sec = 1};
    if (workers->beat_ms > 0 && workers->beat_ms < 1000)
        wait = (struct timespec){.tv_nsec = (long)workers->beat_ms * 1000000};
    int signum = sigtimedwait(&workers->signals, NULL, &wait);
    return signum < 0 ? 0 : signum;
}

/* Ends a worker that hangs, so that only its readers have to come back; then the watchdog may
 * know that the parent lives. SIGKILL, as a process that was stopped takes nothing else. */
static void
workers_check_beats(struct workers *workers)
{
    time_t now = now_s();
    if (workers->beat_ms == 0)
        return;
    for (size_t i = 0; i < workers->count; i++) {
        uint64_t beats = workers->shared->beats[i];
        if (workers->pids[i] == 0 || beats != workers->beats[i]) {
            workers->beats[i] = beats;
            workers->turned[i] = now;
        } else if ((uint64_t)(now - workers->turned[i]) * 1000 >
                   BEATS_MISSED * workers->beat_ms + 1000) {
            log_line(&workers->log, LOG_ERROR, "worker %zu (pid %ld) hangs: killed", i,
                     (long)workers->pids[i]);
            kill(workers->pids[i], SIGKILL);
            workers->turned[i] = now;
        }
    }
    notify_alive();
}

static void
workers_end(struct workers *workers)
{
    time_t patience = workers->settings->drain_ms / 1000 + 1 + KILL_AFTER_DRAIN_S;
    time_t began = now_s();
    workers->ending = true;
    workers_signal(workers, SIGTERM);
    workers_reap(workers);
    while (workers_alive(workers) > 0) {
        if (now_s() - began > patience)
            workers_signal(workers, SIGKILL);
        workers_wait(workers);
        workers_reap(workers);
    }
}

static void
workers_watch(struct workers *workers)
{
    for (;;) {
        int signum = workers_wait(workers);
        if (signum != 0 && signum != SIGCHLD && signum != SIGHUP)
            return;
        if (signum == SIGHUP)
            workers_signal(workers, SIGHUP);
        workers_reap(workers);
        workers_refill(workers);
        workers_check_beats(workers);
    }
}

/* What no worker could serve either is said once, before there are any. */
static int
workers_check(const struct workers *workers, struct error *error)
{
    const struct serve_settings *settings = workers->settings;
    struct store_config config = {.path = settings->db,
                                  .table = settings->table,
                                  .mode =
                                      settings->allow_publish ? STORE_WRITE : STORE_READ,
                                  .keep_wal = true,
                                  .is_replica = settings->read_only};
    bool busy = false;
    struct store *store = store_open(&config, &busy, error);
    int result = store != NULL || busy ? 0 : -1;
    struct store_marks marks;
    struct serve_worker worker = {.counters = workers->shared->counters};
    struct retention_config retention = serve_retention(settings, &worker);
    if (store != NULL && store_read_marks(store, &marks, error) == STORE_OK)
        result = retention_check(&retention, &marks, error);
    if (store != NULL && result == 0 &&
        (settings->presence || settings->presence_channel != NULL))
        result = presence_check(store, error);
    store_close(store); /* no connection may be carried over a fork */
    if (result != 0 || settings->ticket_key_file == NULL)
        return result;
    struct ticket_keys *keys =
        ticket_keys_load(settings->ticket_key_file, TICKET_VERIFIES, NULL, error);
    ticket_keys_free(keys);
    return keys != NULL ? 0 : -1;
}

static int
workers_supervise(struct workers *workers, struct error *error)
{
    if (workers_check(workers, error) != 0)
        return -1;
    static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGCHLD, SIGHUP};
    sigemptyset(&workers->signals);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&workers->signals, signals[i]);
    sigprocmask(SIG_BLOCK, &workers->signals, &workers->before);
    int result = 0;
    for (size_t i = 0; i < workers->count && result == 0; i++)
        result = worker_start(workers, i);
    if (result == 0) {
        notify_ready(workers->settings->table, workers->settings->db);
        workers_watch(workers);
        notify_stopping((size_t)workers_streams(workers));
    } else {
        error_set(error, "cannot start %zu workers: %s", workers->count, strerror(errno));
    }
    workers_end(workers);
    sigprocmask(SIG_SETMASK, &workers->before, NULL);
    return result;
}

static int
workers_share(struct workers *workers, struct error *error)
{
    const struct serve_settings *settings = workers->settings;
    const struct limits_config limits = {.per_user = (uint64_t)settings->max_per_user,
                                         .per_address = (uint64_t)settings->max_per_address,
                                         .connects_per_address =
                                             (uint64_t)settings->connect_rate,
                                         .workers = workers->count};
    workers->shared = mmap(NULL, sizeof *workers->shared, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (workers->shared == MAP_FAILED)
        return error_set(error, "cannot share memory: %s", strerror(errno));
    if (hash_key_make(&workers->shared->pages.key, error) != 0)
        return -1;
    return limits_new(&workers->limits, &limits, error);
}

int
workers_run(const struct serve_settings *settings, const struct listeners *listeners,
            struct error *error)
{
    struct workers workers = {.settings = settings,
                              .listeners = listeners,
                              .count = (size_t)settings->workers,
                              .beat_ms = notify_interval_ms(),
                              .parent = getpid()};
    if (workers_share(&workers, error) != 0)
        return -1;
    struct log_config log = serve_log_config(settings, workers.shared->counters);
    if (log_open(&workers.log, &log, error) != 0)
        return -1;

    int result;
    if (workers.count > 1) {
        result = workers_supervise(&workers, error);
    } else {
        struct serve_worker worker = {.counters = workers.shared->counters,
                                      .count = 1,
                                      .limits = workers.limits,
                                      .beat_ms = workers.beat_ms};
        result = serve_run(settings, SERVE_FASTCGI, listeners, &worker, error);
    }
    log_close(&workers.log);
    limits_free(workers.limits);
    munmap(workers.shared, sizeof *workers.shared);
    return result;
}
