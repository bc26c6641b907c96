/* samples.h - a handful of durations and their quantiles. */
#ifndef ROWCAST_BENCH_SAMPLES_H
#define ROWCAST_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct quantiles {
    double median_us;
    double p90_us;
    double p99_us;
    double max_us;
};

/* Sorts the durations (nanoseconds, count > 0, may be negative) in place. Nearest rank: each
 * quantile is a duration that was measured. */
struct quantiles samples_quantiles(int64_t *ns, size_t count);

#endif
