/* latency_histogram.c - see base/latency_histogram.h. The hub calls it once for each row, not once
 * for each stream. */
#include "config.h"

#include "base/latency_histogram.h"

const uint64_t latency_histogram_bounds_ms[LATENCY_HISTOGRAM_BOUNDS] = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};

void
latency_histogram_observe(struct latency_histogram *lag, int64_t created_at_ms,
                          int64_t now_ms)
{
    unsigned bucket = 0;
    if (created_at_ms <= 0)
        return;
    uint64_t late_ms = now_ms > created_at_ms ? (uint64_t)(now_ms - created_at_ms) : 0;
    while (bucket < LATENCY_HISTOGRAM_BOUNDS &&
           late_ms > latency_histogram_bounds_ms[bucket])
        bucket++;
    lag->buckets[bucket]++;
    lag->count++;
    lag->sum_ms += late_ms;
}
