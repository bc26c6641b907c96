/* samples.c - sorts once, reads ranks. */
#include "config.h"

#include "samples.h"

#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double
rank_us(const int64_t *ns, size_t count, size_t percent)
{
    size_t rank = (count * percent + 99) / 100;
    return (double)ns[rank - 1] / 1000;
}

struct quantiles
samples_quantiles(int64_t *ns, size_t count)
{
    qsort(ns, count, sizeof *ns, compare);
    return (struct quantiles){
        .median_us = rank_us(ns, count, 50),
        .p90_us = rank_us(ns, count, 90),
        .p99_us = rank_us(ns, count, 99),
        .max_us = rank_us(ns, count, 100),
    };
}
