/* event_line.h - what the data of a bench's row looks like, for the writer and the readers.
 *
 *     r 0000000042 0000000123456789012 ~~~~~~~~…
 *
 * By the number each stream finds what it missed or got twice; the stamp (CLOCK_MONOTONIC, ns, at
 * the start of the INSERT) says how long the row was on its way. */
#ifndef ROWCAST_BENCH_EVENT_LINE_H
#define ROWCAST_BENCH_EVENT_LINE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define EVENT_NUMBER_AT 2
#define EVENT_NUMBER_LEN 10
#define EVENT_STAMP_AT 13
#define EVENT_STAMP_LEN 19
#define EVENT_FILL_AT 33
#define EVENT_DATA_MAX 65536

static inline int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t
event_digits(const char *p, size_t len)
{
    int64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (p[i] - '0');
    return value;
}

static inline void
event_put_digits(char *p, size_t len, int64_t value)
{
    for (size_t i = len; i-- > 0; value /= 10)
        p[i] = (char)('0' + value % 10);
}

#endif
