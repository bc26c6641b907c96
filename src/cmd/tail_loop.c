/* tail_loop.c - the loop of a command that follows the table; see cmd/tail_loop.h.
 *
 * Called by cmd/tail.c. The signal handler wakes the loop, as libuv goes on waiting after EINTR. */
#include "config.h"

#include "cmd/tail_loop.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

struct tail_loop {
    uv_loop_t loop;
    uv_async_t wake;
    struct watch *watch;
    const char *db_path;
    tail_loop_fn look;
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
tail_loop_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

bool
tail_loop_interrupted(void)
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
    struct tail_loop *loop = arg;
    enum tail_loop_step step = TAIL_LOOP_STOP;

    if (reason == WATCH_FILES) /* the folder may be another one */
        watch_follow(loop->watch, loop->db_path);
    if (output_is_read())
        step = loop->look(loop->arg, reason);
    if (step == TAIL_LOOP_STOP || interrupted)
        uv_stop(&loop->loop);
    return step == TAIL_LOOP_FOUND;
}

int
tail_loop_run(const char *db_path, tail_loop_fn look, void *arg, struct error *error)
{
    struct tail_loop loop = {.db_path = db_path, .look = look, .arg = arg};
    int code = uv_loop_init(&loop.loop);

    if (code != 0)
        return error_set(error, "cannot wait for rows: %s", uv_strerror(code));
    uv_async_init(&loop.loop, &loop.wake, on_wake);
    loop.watch = watch_new(&loop.loop, db_path, on_look, &loop, error);
    signal_wake = &loop.wake;
    if (loop.watch != NULL && !interrupted)
        uv_run(&loop.loop, UV_RUN_DEFAULT);
    signal_wake = NULL;
    watch_free(loop.watch);
    uv_close((uv_handle_t *)&loop.wake, NULL);
    uv_run(&loop.loop, UV_RUN_DEFAULT); /* the handles' ends */
    uv_loop_close(&loop.loop);
    return loop.watch != NULL ? 0 : -1;
}
