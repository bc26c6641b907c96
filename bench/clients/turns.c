/* turns.c - the longest turns of a loop, in processor time of its thread: so a figure that
 * neighbours on the machine do not change much.
 *
 * A shared object that bench/scenarios/attack_scenarios.py makes and puts before libc
 * (LD_PRELOAD). From the return of one wait of libuv's to the next one is a turn. The file
 * TURNS_FILE, mapped, has three 64-bit numbers: the longest turn in ns, the turns, and those
 * above 5 ms; who reads it may set them to 0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LONG_NS 5000000

struct turns {
    uint64_t longest_ns, count, longer;
};

static struct turns *turns;
static uint64_t began_ns; /* 0: not in a turn */

static uint64_t
cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((constructor)) static void
open_file(void)
{
    const char *path = getenv("TURNS_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *turns) != 0)
        return;
    void *mapped = mmap(NULL, sizeof *turns, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    turns = mapped == MAP_FAILED ? NULL : mapped;
    close(fd);
}

static void
end_turn(void)
{
    if (turns == NULL || gettid() != getpid() || began_ns == 0)
        return;
    uint64_t took = cpu_ns() - began_ns;
    turns->count++;
    turns->longer += took > LONG_NS;
    if (took > turns->longest_ns)
        turns->longest_ns = took;
}

static void
begin_turn(void)
{
    if (gettid() == getpid())
        began_ns = cpu_ns();
}

int
epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    int (*next)(int, struct epoll_event *, int, int) = dlsym(RTLD_NEXT, "epoll_wait");
    end_turn();
    int result = next(epoll, events, most, timeout);
    begin_turn();
    return result;
}

int
epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout,
            const sigset_t *mask)
{
    int (*next)(int, struct epoll_event *, int, int, const sigset_t *) =
        dlsym(RTLD_NEXT, "epoll_pwait");
    end_turn();
    int result = next(epoll, events, most, timeout, mask);
    begin_turn();
    return result;
}
