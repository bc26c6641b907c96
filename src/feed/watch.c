/* watch.c - inotify (through uv_fs_event) and the retries that make it sound; see feed/watch.h.
 *
 * feed/feed.c owns one. libuv's timers have a resolution of 1 ms, twenty times the first retry, so a
 * timerfd is used where there is one. By path only: opening and closing the database or its
 * -shm ourselves would drop SQLite's POSIX locks in this process. */
#include "config.h"

#include "feed/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYS_TIMERFD_H
#include <sys/timerfd.h>
#endif

#define FOUND_WAIT_US 1000     /* the next look after one that found something */
#define POLLING_STREAK 16      /* looks in close order until events are off */
#define POLLING_GAP_NS 2000000 /* what close order means */
#define POLLING_LOOK_US 500    /* then a look so often */

/* Until so many in a row found nothing: a checkpoint's fsyncs keep a busy writer quiet as long. */
#define POLLING_EMPTY_LOOKS 64

struct watch {
    uv_fs_event_t events;
    uv_poll_t timer_poll; /* of timer_fd, where there is a timerfd */
    uv_timer_t timer;     /* elsewhere */
    int timer_fd;
    char *name; /* the database file's name within its folder */
    size_t name_len;
    watch_fn look;
    void *arg;
    uint64_t wait_us;   /* the wait before the next look */
    uint64_t waited_us; /* since the event */
    uint64_t found_ns;  /* when a look last found something */
    uint64_t ticked_ns; /* when a look was last told that it is the tick */
    unsigned streak;    /* looks in close order that found something */
    unsigned empty;     /* when hot: looks in a row that found nothing */
    bool polling;       /* events are off, the timer looks */
    char *folder;
    int handles;
    bool has_events;
};

static void on_timer(struct watch *watch);
static void on_event(uv_fs_event_t *handle, const char *name, int events, int status);

static void
on_uv_timer(uv_timer_t *timer)
{
    on_timer(timer->data);
}

static void
watch_arm(struct watch *watch)
{
#ifdef HAVE_SYS_TIMERFD_H
    struct itimerspec spec = {0};
    spec.it_value.tv_sec = (time_t)(watch->wait_us / 1000000);
    spec.it_value.tv_nsec = (long)(watch->wait_us % 1000000) * 1000;
    if (watch->timer_fd >= 0 && timerfd_settime(watch->timer_fd, 0, &spec, NULL) == 0)
        return;
#endif
    uv_timer_start(&watch->timer, on_uv_timer, (watch->wait_us + 999) / 1000, 0);
}

/* Doubling, but in finer steps while an fsync may still be under way: the wait that is on when
 * the commit becomes visible is what a row is late by. */
static uint64_t
next_wait_us(const struct watch *watch)
{
    uint64_t next = watch->wait_us * 2;
    if (watch->waited_us < WATCH_FINE_US)
        next = watch->waited_us / 4;
    if (next < WATCH_FIRST_US)
        next = WATCH_FIRST_US;
    return next < WATCH_FALLBACK_US ? next : WATCH_FALLBACK_US;
}

/* --- hot and cold ------------------------------------------------------------------------ */

static void
watch_start_events(struct watch *watch)
{
    watch->has_events = uv_fs_event_start(&watch->events, on_event, watch->folder, 0) == 0;
}

static void
watch_start_polling(struct watch *watch)
{
    uv_fs_event_stop(&watch->events);
    watch->polling = true;
    watch->empty = 0;
    watch->wait_us = POLLING_LOOK_US;
    watch_arm(watch);
}

/* What is committed before the events are on again is seen by the looks that follow. */
static void
watch_stop_polling(struct watch *watch)
{
    watch->polling = false;
    watch->streak = 0;
    watch_start_events(watch);
    watch_nudge(watch);
}

/* The tick has a clock of its own: a busy writer's events would put the fallback off for ever. */
static bool
watch_is_tick(struct watch *watch)
{
    uint64_t now = uv_hrtime();
    if (now - watch->ticked_ns < WATCH_FALLBACK_US * UINT64_C(1000))
        return false;
    watch->ticked_ns = now;
    if (!watch->polling && !watch->has_events)
        watch_start_events(watch); /* it failed before: out of inotify watches, perhaps */
    return true;
}

static void
watch_look(struct watch *watch)
{
    bool found = watch->look(watch->arg, watch_is_tick(watch));
    if (watch->polling) {
        watch->empty = found ? 0 : watch->empty + 1;
        if (watch->empty >= POLLING_EMPTY_LOOKS)
            watch_stop_polling(watch);
        return;
    }
    if (!found)
        return;
    /* The event's own commit is found. Another may hide behind it, as events merge: looks go on,
     * but no longer in fine steps. */
    watch->waited_us = WATCH_FINE_US;
    watch->wait_us = FOUND_WAIT_US;
    watch_arm(watch);
    uint64_t now = uv_hrtime();
    watch->streak = now - watch->found_ns < POLLING_GAP_NS ? watch->streak + 1 : 0;
    watch->found_ns = now;
    if (watch->streak >= POLLING_STREAK && watch->has_events)
        watch_start_polling(watch);
}

static void
on_timer(struct watch *watch)
{
    if (watch->polling) {
        watch->wait_us = POLLING_LOOK_US;
        watch_arm(watch);
        watch_look(watch);
        return;
    }
    watch->waited_us += watch->wait_us;
    watch->wait_us = next_wait_us(watch);
    watch_arm(watch);
    watch_look(watch);
}

static void
on_timer_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    uint64_t count;
    (void)events;
    if (status == 0 && read(watch->timer_fd, &count, sizeof count) == (ssize_t)sizeof count)
        on_timer(watch);
}

void
watch_nudge(struct watch *watch)
{
    if (watch->polling)
        return; /* it looks soon enough */
    watch->wait_us = WATCH_FIRST_US;
    watch->waited_us = 0;
    watch_arm(watch);
}

static void
on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct watch *watch = handle->data;
    (void)events;
    /* The database itself, -wal, -journal, -shm; anything else in the folder is not ours. Lost
     * events (an overflow has no name) count as one. */
    if (status == 0 && name != NULL && strncmp(name, watch->name, watch->name_len) != 0)
        return;
    watch_nudge(watch);
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
        watch->timer_fd = -1; /* nothing of it for watch_free to close */
        return -1;
    }
    watch->timer_poll.data = watch;
    watch->handles++;
    return uv_poll_start(&watch->timer_poll, UV_READABLE, on_timer_poll);
#else
    return 0;
#endif
}

/* Failure is no error: the fallback remains, and watch_has_events tells. */
static int
watch_set_up_events(struct watch *watch, uv_loop_t *loop, const char *path, size_t len)
{
    watch->folder = len == 0 ? strdup("/") : strndup(path, len);
    if (watch->folder == NULL)
        return -1;
    uv_fs_event_init(loop, &watch->events);
    watch->events.data = watch;
    watch->handles++;
    watch_start_events(watch);
    return 0;
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
    watch->timer_fd = -1;
    watch->look = look;
    watch->arg = arg;
    watch->wait_us = WATCH_FIRST_US;
    const char *slash = strrchr(path, '/'); /* there: the path is absolute */
    watch->name = strdup(slash + 1);
    if (watch->name == NULL || watch_start_timer(watch, loop) != 0 ||
        watch_set_up_events(watch, loop, path, (size_t)(slash - path)) != 0) {
        error_set(error, "cannot make a timer: %s", strerror(errno));
        free(path);
        watch_free(watch);
        return NULL;
    }
    watch->name_len = strlen(watch->name);
    free(path);
    watch_arm(watch);
    return watch;
}

bool
watch_has_events(const struct watch *watch)
{
    return watch->has_events;
}

static void
on_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    if (--watch->handles > 0)
        return;
    if (watch->timer_fd >= 0)
        close(watch->timer_fd);
    free(watch->name);
    free(watch->folder);
    free(watch);
}

void
watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->handles == 0) {
        free(watch->name);
        free(watch->folder);
        free(watch);
        return;
    }
    uv_close((uv_handle_t *)&watch->timer, on_closed);
    if (watch->timer_fd >= 0)
        uv_close((uv_handle_t *)&watch->timer_poll, on_closed);
    if (watch->events.data != NULL)
        uv_close((uv_handle_t *)&watch->events, on_closed);
}
