/* follow.c - the loop of a command that follows the table; see cmd/follow.h.
 *
 * Called by cmd/tail.c. The signal handler wakes the loop, as libuv continues waiting after
 * EINTR. */
#include "config.h"

#include "cmd/follow.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

struct follower {
    uv_loop_t loop;
    uv_async_t wake;
    struct watch *watch;
    const char *db_path;
    follow_fn look;
    void *arg;
};

/* A signal handler has no other way to them. */
static volatile sig_atomic_t interrupted;
static uv_async_t *volatile signal_wake;

static void
on_signal(int number)
{
    (void)number;
    interrupted = 1;
    if (signal_wake != NULL)
        uv_async_send(signal_wake); /* async-signal-safe */
}

void
follow_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

bool
follow_interrupted(void)
{
    return interrupted != 0;
}

/* A pipe whose reader has gone reports POLLERR, also while there is nothing to print. */
static bool
output_is_read(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = 0};

    poll(&output, 1, 0);
    return (output.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

static void
on_wake(uv_async_t *wake)
{
    if (interrupted)
        uv_stop(wake->loop);
}

static bool
on_look(void *arg, enum watch_reason reason)
{
    struct follower *follower = arg;
    enum follow_step step = FOLLOW_STOP;

    if (reason == WATCH_FILES) /* the folder may be another one */
        watch_follow(follower->watch, follower->db_path);
    if (output_is_read())
        step = follower->look(follower->arg, reason);
    if (step == FOLLOW_STOP || interrupted)
        uv_stop(&follower->loop);
    return step == FOLLOW_FOUND;
}

int
follow(const char *db_path, follow_fn look, void *arg, struct error *error)
{
    struct follower follower = {.db_path = db_path, .look = look, .arg = arg};
    int code = uv_loop_init(&follower.loop);

    if (code != 0)
        return error_set(error, "cannot wait for rows: %s", uv_strerror(code));
    uv_async_init(&follower.loop, &follower.wake, on_wake);
    follower.watch = watch_new(&follower.loop, db_path, on_look, &follower, error);
    signal_wake = &follower.wake;
    if (follower.watch != NULL && !interrupted)
        uv_run(&follower.loop, UV_RUN_DEFAULT);
    signal_wake = NULL;
    watch_free(follower.watch);
    uv_close((uv_handle_t *)&follower.wake, NULL);
    uv_run(&follower.loop, UV_RUN_DEFAULT); /* the handles' ends */
    uv_loop_close(&follower.loop);
    return follower.watch != NULL ? 0 : -1;
}
