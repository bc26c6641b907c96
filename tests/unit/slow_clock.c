/* slow_clock.c - see slow_clock.h. */
#include "config.h"

#include "slow_clock.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static bool is_slow;
static uint64_t ahead_ns; /* of the real clock; never less than it was */

uint64_t __real_uv_hrtime(void);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
uint64_t __wrap_uv_hrtime(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static uint64_t
look(void)
{
    if (is_slow)
        ahead_ns += SLOW_CLOCK_LOOK_NS;
    return ahead_ns;
}

uint64_t
__wrap_uv_hrtime(void)
{
    uint64_t ahead = look();
    return __real_uv_hrtime() + ahead;
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    if (clock != CLOCK_MONOTONIC)
        return result;
    uint64_t ns = (uint64_t)now->tv_nsec + look();
    now->tv_sec += (time_t)(ns / 1000000000);
    now->tv_nsec = (long)(ns % 1000000000);
    return result;
}

void
slow_clock_start(void)
{
    is_slow = true;
}

void
slow_clock_stop(void)
{
    is_slow = false;
}
