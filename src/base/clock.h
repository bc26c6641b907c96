/* clock.h - Unix time in milliseconds, to compare with the times of rows and tickets. */
#ifndef ROWCAST_BASE_CLOCK_H
#define ROWCAST_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
clock_unix_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
