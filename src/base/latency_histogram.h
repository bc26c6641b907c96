/* latency_histogram.h - a histogram of how late rows are: from a row's created_at to the end of
 * its batch's write. Pure.
 *
 * rowcast does not know when a row was committed. created_at is the writer's clock at the INSERT,
 * in milliseconds. So the figure includes a long transaction and the difference between two
 * clocks. */
#ifndef ROWCAST_BASE_LATENCY_HISTOGRAM_H
#define ROWCAST_BASE_LATENCY_HISTOGRAM_H

#include <stdint.h>

#define LATENCY_HISTOGRAM_BOUNDS 13

/* 64-bit counters only: see struct hub_counters. */
struct latency_histogram {
    uint64_t count;
    uint64_t sum_ms;
    uint64_t buckets[LATENCY_HISTOGRAM_BOUNDS +
                     1]; /* not cumulative; the last: above all bounds */
};

extern const uint64_t latency_histogram_bounds_ms[LATENCY_HISTOGRAM_BOUNDS];

/* Counts one row. Times are Unix milliseconds. created_at_ms 0 (not known) counts nothing, a time
 * in the future counts as 0 ms. */
void latency_histogram_observe(struct latency_histogram *lag, int64_t created_at_ms,
                               int64_t now_ms);

#endif
