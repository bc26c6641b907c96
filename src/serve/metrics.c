/* metrics.c - the measures in the Prometheus text format 0.0.4: every family with HELP and TYPE. */
#include "config.h"

#include <inttypes.h>

#include "serve/measures.h"
#include "serve/report.h"

static void
append_head(struct buf *buf, const char *name, const char *type, const char *help)
{
    buf_printf(buf, "# HELP rowcast_%s %s\n# TYPE rowcast_%s %s\n", name, help, name, type);
}

static void
append_value(struct buf *buf, const struct measure *measure, uint64_t value)
{
    if (measure->unit == MEASURE_MS)
        buf_printf(buf, " %" PRIu64 ".%03" PRIu64 "\n", value / 1000, value % 1000);
    else
        buf_printf(buf, " %" PRIu64 "\n", value);
}

static void
append_measure(struct buf *buf, const struct measure *measure,
               const struct measures *measures)
{
    const struct measure_label *label = measure->label;
    append_head(buf, measure->metric,
                measure->kind == MEASURE_COUNTER ? "counter" : "gauge", measure->help);
    if (label == NULL) {
        buf_printf(buf, "rowcast_%s", measure->metric);
        append_value(buf, measure, measure_value(measure, measures, 0));
        return;
    }
    for (int i = 0; i < label->count; i++) {
        buf_printf(buf, "rowcast_%s{%s=\"%s\"}", measure->metric, label->name,
                   label->value_name(i));
        append_value(buf, measure, measure_value(measure, measures, i));
    }
}

static void
append_lag(struct buf *buf, const struct latency_histogram *lag)
{
    uint64_t so_far = 0;
    append_head(buf, "lag_seconds", "histogram",
                "From created_at of a row (the writer's clock, 1 ms) to the end of its "
                "write to the streams at the tail; each worker counts each row once.");
    for (unsigned i = 0; i < LATENCY_HISTOGRAM_BOUNDS; i++) {
        so_far += lag->buckets[i];
        buf_printf(buf, "rowcast_lag_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                   (double)latency_histogram_bounds_ms[i] / 1000, so_far);
    }
    so_far += lag->buckets[LATENCY_HISTOGRAM_BOUNDS];
    buf_printf(buf, "rowcast_lag_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", so_far);
    buf_printf(buf, "rowcast_lag_seconds_sum %" PRIu64 ".%03" PRIu64 "\n",
               lag->sum_ms / 1000, lag->sum_ms % 1000);
    buf_printf(buf, "rowcast_lag_seconds_count %" PRIu64 "\n", so_far);
}

/* A label's value as the format has it: backslash, double quote and line feed are escaped. */
static void
append_label(struct buf *buf, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            buf_append(buf, "\\", 1);
        if (*text == '\n')
            buf_append_text(buf, "\\n");
        else
            buf_append(buf, text, 1);
    }
}

static void
append_channel(void *arg, const char *channel, size_t streams)
{
    struct buf *buf = arg;
    buf_append_text(buf, "rowcast_channel_streams{channel=\"");
    append_label(buf, channel);
    buf_printf(buf, "\"} %zu\n", streams);
}

/* Names come from strangers, so there are few. */
static void
append_channels(struct buf *buf, const struct hub *hub)
{
    static const char help[] =
        "Open streams, by channel or pattern as they asked for it; those with the most "
        "streams.";
    append_head(buf, "channel_streams", "gauge", help);
    hub_each_channel(hub, REPORT_CHANNELS_METRICS, append_channel, buf);
}

void
report_append_metrics(struct buf *buf, const struct hub *hub, const struct feed *feed)
{
    struct measures measures;
    measures_take(&measures, hub, feed);
    append_head(buf, "build_info", "gauge", "The version; always 1.");
    buf_append_text(buf, "rowcast_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
    for (size_t i = 0; i < measures_count; i++)
        if (measures_table[i].metric != NULL)
            append_measure(buf, &measures_table[i], &measures);
    append_channels(buf, hub);
    append_lag(buf, &measures.totals.lag);
}
