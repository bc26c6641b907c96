/* watch.c - file events (feed/watch_events.c) and the retries that make them sound; see
 * feed/watch.h.
 *
 * feed/feed.c owns one. An event is only noted; the look follows once in the turn, when all
 * callbacks of the turn have run: reading the table may itself cause an event. libuv's timers
 * have a resolution of 1 ms, twenty times the first retry, so a timerfd is used where there is
 * one. By path only: opening and closing the database or its -shm ourselves would drop SQLite's
 * POSIX locks in this process. */
#include "config.h"

#include "feed/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_SYS_TIMERFD_H
#include <sys/timerfd.h>
#endif

#include "feed/watch_events.h"

#define FOUND_WAIT_US 2000 /* the next look after one that found something */
#define FOUND_GROWTH 4     /* each following wait is so many times longer */
#define POLLING_STREAK 16 /* so many looks that follow each other closely turn events off */
#define POLLING_GAP_NS 2000000 /* looks with less time between them follow closely */
#define POLLING_LOOK_US 500    /* then the timer looks so often */

/* A shorter wait needs a timerfd. */
#define COARSE_WAIT_US 2000

/* After so many looks in a row without rows the events are turned on again. A busy writer may be
 * silent for as long, while a checkpoint's fsyncs run. */
#define POLLING_EMPTY_LOOKS 64

struct watch {
    struct watch_events *events; /* NULL: the system has none */
    uv_check_t turn;             /* looks at what was noted */
    uv_poll_t timer_poll;        /* of timer_fd, where there is a timerfd */
    uv_timer_t timer;            /* for longer waits, and where there is none */
    int timer_fd;
    unsigned news;       /* noted in this turn: an or of enum folder_news */
    char *path;          /* of the database file, without links */
    dev_t folder_device; /* of the folder that is watched */
    ino_t folder_inode;
    watch_fn look;
    void *arg;
    uint64_t wait_us;   /* the wait before the next look */
    uint64_t waited_us; /* since the event */
    uint64_t found_ns;  /* when a look last found something */
    uint64_t ticked_ns; /* when a look was last the tick */
    unsigned streak;    /* looks that followed closely and found something */
    unsigned empty;     /* while polling: looks in a row that found nothing */
    bool has_found;     /* the last look found something, or one since the event did */
    bool is_armed;      /* for the next look, by what happened during this one */
    bool is_fd_armed;
    bool polling; /* events are off, the timer looks */
    int handles;
};

static void on_timer(struct watch *watch);

static void
on_uv_timer(uv_timer_t *timer)
{
    on_timer(timer->data);
}

#ifdef HAVE_SYS_TIMERFD_H

/* 0: disarmed. False: there is no timerfd. */
static bool
watch_arm_fd(struct watch *watch, uint64_t wait_us)
{
    struct itimerspec spec = {.it_value.tv_nsec = (long)wait_us * 1000};
    if (watch->timer_fd < 0)
        return false;
    if (wait_us == 0 && !watch->is_fd_armed)
        return true;
    watch->is_fd_armed = wait_us > 0;
    return timerfd_settime(watch->timer_fd, 0, &spec, NULL) == 0;
}

#else

static bool
watch_arm_fd(struct watch *watch, uint64_t wait_us)
{
    (void)watch;
    (void)wait_us;
    return false;
}

#endif

/* A timerfd costs two calls of the system for each wait, libuv's own timers none. */
static void
watch_arm(struct watch *watch)
{
    bool is_fine = watch->wait_us < COARSE_WAIT_US;
    watch->is_armed = true;
    if (watch_arm_fd(watch, is_fine ? watch->wait_us : 0) && is_fine)
        uv_timer_stop(&watch->timer);
    else
        uv_timer_start(&watch->timer, on_uv_timer, (watch->wait_us + 999) / 1000, 0);
}

/* Doubles the wait, but in finer steps while an fsync may be running: a row is late by the wait
 * that runs when its commit becomes visible. After that commit was found, only another commit
 * whose events merged with the first one's can be hidden, which is rare. */
static uint64_t
next_wait_us(const struct watch *watch)
{
    uint64_t next = watch->wait_us * (watch->has_found ? FOUND_GROWTH : 2);
    if (watch->waited_us < WATCH_FINE_US)
        next = watch->waited_us / 4;
    if (next < WATCH_FIRST_US)
        next = WATCH_FIRST_US;
    return next < WATCH_FALLBACK_US ? next : WATCH_FALLBACK_US;
}

/* --- polling and notified ---------------------------------------------------------------- */

/* Without the file's name: "/" for a file in the root folder. */
static int
split_path(const char *path, char folder[PATH_MAX], const char **name)
{
    const char *slash = strrchr(path, '/'); /* there: the path is absolute */
    int len = slash == path ? 1 : (int)(slash - path);
    *name = slash + 1;
    return snprintf(folder, PATH_MAX, "%.*s", len, path) < PATH_MAX ? 0 : -1;
}

/* A failure is no error: the fallback remains and tries again, and watch_has_events shows it. */
static void
watch_start_events(struct watch *watch)
{
    char folder[PATH_MAX];
    const char *name;
    struct stat st;
    if (watch->events == NULL || split_path(watch->path, folder, &name) != 0 ||
        stat(folder, &st) != 0)
        return;
    watch->folder_device = st.st_dev;
    watch->folder_inode = st.st_ino;
    watch_events_start(watch->events, folder, name);
}

static void
watch_start_polling(struct watch *watch)
{
    watch_events_stop(watch->events);
    watch->polling = true;
    watch->empty = 0;
    watch->wait_us = POLLING_LOOK_US;
    watch_arm(watch);
}

/* The looks that follow find what was committed before the events were on again. */
static void
watch_stop_polling(struct watch *watch)
{
    watch->polling = false;
    watch->streak = 0;
    watch_start_events(watch);
    watch_nudge(watch);
}

/* The tick has its own clock: else a busy writer's events would put the fallback off for ever. */
static bool
watch_is_tick(struct watch *watch)
{
    uint64_t now = uv_hrtime();
    if (now - watch->ticked_ns < WATCH_FALLBACK_US * UINT64_C(1000))
        return false;
    watch->ticked_ns = now;
    if (!watch->polling && !watch_has_events(watch))
        watch_start_events(
            watch); /* it failed before, perhaps because no inotify watch was free */
    return true;
}

static void
watch_note_found(struct watch *watch)
{
    uint64_t now = uv_hrtime();
    watch->has_found = true;
    watch->waited_us = WATCH_FINE_US;
    watch->wait_us = FOUND_WAIT_US;
    watch->streak = now - watch->found_ns < POLLING_GAP_NS ? watch->streak + 1 : 0;
    watch->found_ns = now;
}

/* One look, and when the next one is due. wait_us is the wait before it if this one finds
 * nothing. */
static void
watch_look(struct watch *watch)
{
    enum watch_reason reason = watch_is_tick(watch) || (watch->news & FOLDER_NAMES) != 0
                                   ? WATCH_FILES
                                   : WATCH_NEWS;
    watch->news = 0;
    watch->is_armed = false;
    bool found = watch->look(watch->arg, reason);
    if (watch->polling) {
        watch->empty = found ? 0 : watch->empty + 1;
        if (watch->empty >= POLLING_EMPTY_LOOKS)
            watch_stop_polling(watch);
        else
            watch_arm(watch);
        return;
    }
    if (found)
        watch_note_found(watch);
    if (watch->streak >= POLLING_STREAK && found && watch_has_events(watch))
        watch_start_polling(watch);
    else if (!watch->is_armed)
        watch_arm(watch);
}

static void
on_timer(struct watch *watch)
{
    if (watch->polling) {
        watch->wait_us = POLLING_LOOK_US;
    } else {
        watch->waited_us += watch->wait_us;
        watch->wait_us = next_wait_us(watch);
    }
    watch_look(watch);
}

static void
on_timer_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    uint64_t count;
    (void)events;
    if (status != 0 || read(watch->timer_fd, &count, sizeof count) != (ssize_t)sizeof count)
        return;
    watch->is_fd_armed = false;
    on_timer(watch);
}

/* Begins again with the first wait. */
static void
watch_restart_waits(struct watch *watch)
{
    watch->wait_us = WATCH_FIRST_US;
    watch->waited_us = 0;
    watch->has_found = false;
}

void
watch_nudge(struct watch *watch)
{
    if (watch->polling)
        return; /* it looks soon enough */
    watch_restart_waits(watch);
    watch_arm(watch);
}

static void
on_news(void *arg, unsigned news)
{
    struct watch *watch = arg;
    watch->news |= news;
}

static void
on_turn(uv_check_t *turn)
{
    struct watch *watch = turn->data;
    if (watch->news == 0)
        return;
    if (!watch->polling)
        watch_restart_waits(watch);
    watch_look(watch);
}

static int
watch_start_timer(struct watch *watch, uv_loop_t *loop)
{
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    watch->handles++;
#ifdef HAVE_SYS_TIMERFD_H
    watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (watch->timer_fd < 0)
        return 0; /* libuv's timer will do */
    if (uv_poll_init(loop, &watch->timer_poll, watch->timer_fd) != 0) {
        close(watch->timer_fd);
        watch->timer_fd = -1; /* watch_free has nothing to close */
        return -1;
    }
    watch->timer_poll.data = watch;
    watch->handles++;
    return uv_poll_start(&watch->timer_poll, UV_READABLE, on_timer_poll);
#else
    return 0;
#endif
}

static void
watch_set_up_events(struct watch *watch, uv_loop_t *loop)
{
    uv_check_init(loop, &watch->turn);
    watch->turn.data = watch;
    watch->handles++;
    uv_check_start(&watch->turn, on_turn);
    watch->events = watch_events_new(loop, on_news, watch);
    watch_start_events(watch);
}

struct watch *
watch_new(uv_loop_t *loop, const char *db_path, watch_fn look, void *arg,
          struct error *error)
{
    struct watch *watch = calloc(1, sizeof *watch);
    char *path = realpath(db_path, NULL);
    if (watch == NULL || path == NULL) {
        error_set(error, "cannot watch %s: %s", db_path, strerror(errno));
        free(watch);
        free(path);
        return NULL;
    }
    *watch = (struct watch){
        .path = path, .timer_fd = -1, .look = look, .arg = arg, .wait_us = WATCH_FIRST_US};
    if (watch_start_timer(watch, loop) != 0) {
        error_set(error, "cannot make a timer: %s", strerror(errno));
        watch_free(watch);
        return NULL;
    }
    watch_set_up_events(watch, loop);
    watch_arm(watch);
    return watch;
}

/* Whether the folder that is watched is the one of that path. */
static bool
watch_is_on(const struct watch *watch, const char *path)
{
    char folder[PATH_MAX];
    const char *name;
    struct stat st;
    return watch_has_events(watch) && strcmp(path, watch->path) == 0 &&
           split_path(path, folder, &name) == 0 && stat(folder, &st) == 0 &&
           st.st_dev == watch->folder_device && st.st_ino == watch->folder_inode;
}

void
watch_follow(struct watch *watch, const char *db_path)
{
    char *path = realpath(db_path, NULL);
    if (path == NULL || watch_is_on(watch, path)) {
        free(path);
        return;
    }
    free(watch->path);
    watch->path = path;
    if (!watch->polling) /* the end of polling does this */
        watch_start_events(watch);
}

bool
watch_has_events(const struct watch *watch)
{
    return watch->events != NULL && watch_events_are_on(watch->events);
}

static void
on_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    if (--watch->handles > 0)
        return;
    if (watch->timer_fd >= 0)
        close(watch->timer_fd);
    free(watch->path);
    free(watch);
}

void
watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->handles == 0) {
        free(watch->path);
        free(watch);
        return;
    }
    watch_events_free(watch->events);
    uv_close((uv_handle_t *)&watch->timer, on_closed);
    if (watch->timer_fd >= 0)
        uv_close((uv_handle_t *)&watch->timer_poll, on_closed);
    if (watch->turn.data != NULL)
        uv_close((uv_handle_t *)&watch->turn, on_closed);
}
