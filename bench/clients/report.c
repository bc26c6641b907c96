/* report.c - prints; computes nothing but the difference of two medians. */
#include "config.h"

#include "report.h"

#include <stdio.h>

static void
print_row(const char *synchronous, const char *what, const struct quantiles *q)
{
    printf("%-12s %-8s %10.1f %10.1f %10.1f %10.1f\n", synchronous, what, q->median_us,
           q->p90_us, q->p99_us, q->max_us);
}

void
report_print_table(const struct setup *setup, const struct run *runs, size_t count,
                   const struct rest *rest)
{
    printf("%ld rows, %.1f ms apart on average, %ld stream%s; microseconds\n\n",
           setup->rows, (double)setup->gap_us / 1000, setup->streams,
           setup->streams == 1 ? "" : "s");
    printf("%-12s %-8s %10s %10s %10s %10s\n", "synchronous", "what", "median", "p90",
           "p99", "max");
    for (size_t i = 0; i < count; i++) {
        print_row(runs[i].synchronous, "insert", &runs[i].insert);
        print_row("", "event", &runs[i].event);
        print_row("", "after", &runs[i].after);
        printf("%-12s medians: event - insert = %.1f\n", "",
               runs[i].event.median_us - runs[i].insert.median_us);
    }
    printf("\nat rest: %ld wake-ups in %ld s\n", rest->wake_ups, rest->seconds);
}

static void
print_json_quantiles(const char *name, const struct quantiles *q)
{
    printf("\"%s_us\":{\"median\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name,
           q->median_us, q->p90_us, q->p99_us, q->max_us);
}

void
report_print_json(const struct setup *setup, const struct run *runs, size_t count,
                  const struct rest *rest)
{
    printf("{\"rows\":%ld,\"gap_us\":%ld,\"streams\":%ld,\"runs\":[", setup->rows,
           setup->gap_us, setup->streams);
    for (size_t i = 0; i < count; i++) {
        printf("%s{\"synchronous\":\"%s\",", i == 0 ? "" : ",", runs[i].synchronous);
        print_json_quantiles("insert", &runs[i].insert);
        putchar(',');
        print_json_quantiles("event", &runs[i].event);
        putchar(',');
        print_json_quantiles("after", &runs[i].after);
        putchar('}');
    }
    printf("],\"rest\":{\"seconds\":%ld,\"wake_ups\":%ld}}\n", rest->seconds,
           rest->wake_ups);
}
