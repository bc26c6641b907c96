/* report.h - what the latency bench found, as a table for a person and as JSON for a program. */
#ifndef ROWCAST_BENCH_REPORT_H
#define ROWCAST_BENCH_REPORT_H

#include <stddef.h>

#include "samples.h"

struct setup {
    long rows;
    long gap_us;
    long streams;
};

/* One run with one PRAGMA synchronous; latency.c says what the three are. */
struct run {
    const char *synchronous;
    struct quantiles insert;
    struct quantiles event;
    struct quantiles after;
};

struct rest {
    long seconds;
    long wake_ups;
};

/* To stdout. */
void report_print_table(const struct setup *setup, const struct run *runs, size_t count,
                        const struct rest *rest);
void report_print_json(const struct setup *setup, const struct run *runs, size_t count,
                       const struct rest *rest);

#endif
