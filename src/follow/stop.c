/* stop.c - see follow/stop.h. The signals are blocked but within ppoll, so that none is lost
 * between the look at the flag and the wait. */
#include "config.h"

#include "follow/stop.h"

#include <signal.h>
#include <time.h>

/* A signal handler has no other way to it. */
static volatile sig_atomic_t asked;

static void
on_signal(int number)
{
    (void)number;
    asked = 1;
}

void
stop_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

bool
stop_asked(void)
{
    sigset_t pending;

    /* Blocked ones have not run the handler yet. */
    if (asked == 0 && sigpending(&pending) == 0 &&
        (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1))
        return true;
    return asked != 0;
}

int
stop_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    const struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                                     .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    sigset_t none;

    sigemptyset(&none);
    return ppoll(fds, count, &timeout, &none);
}
