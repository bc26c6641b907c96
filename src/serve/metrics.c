/* metrics.c - Prometheus text format 0.0.4: every family with HELP and TYPE. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>

static void
head(struct buf *buf, const char *name, const char *type, const char *help)
{
    buf_printf(buf, "# HELP rowcast_%s %s\n# TYPE rowcast_%s %s\n", name, help, name, type);
}

static void
gauge(struct buf *buf, const char *name, uint64_t value, const char *help)
{
    head(buf, name, "gauge", help);
    buf_printf(buf, "rowcast_%s %" PRIu64 "\n", name, value);
}

static void
counter(struct buf *buf, const char *name, uint64_t value, const char *help)
{
    head(buf, name, "counter", help);
    buf_printf(buf, "rowcast_%s %" PRIu64 "\n", name, value);
}

static void
sample(struct buf *buf, const char *name, const char *label, const char *is, uint64_t value)
{
    buf_printf(buf, "rowcast_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, is, value);
}

static void
append_streams(struct buf *buf, const struct hub_counters *totals)
{
    head(buf, "streams", "gauge", "Open streams, by representation.");
    for (int i = 0; i < FORMATS; i++)
        sample(buf, "streams", "format", report_format_names[i], totals->formats[i]);
    gauge(buf, "streams_behind", totals->behind, "Streams in the catch-up queue.");
    counter(buf, "opened_total", totals->opened, "Streams opened.");
    head(buf, "closed_total", "counter", "Streams closed, by reason.");
    for (int why = 0; why < CLOSE_REASONS; why++)
        sample(buf, "closed_total", "why", close_reason_name((enum close_reason)why),
               totals->closed[why]);
    head(buf, "refused_total", "counter", "Streams that were sent away, by reason.");
    for (int why = 0; why < HUB_REFUSALS; why++)
        sample(buf, "refused_total", "reason", hub_refusal_name((enum hub_refusal)why),
               totals->refused_by[why]);
}

static void
append_lag(struct buf *buf, const struct latency_histogram *lag)
{
    uint64_t so_far = 0;
    head(buf, "lag_seconds", "histogram",
         "From created_at of a row (the writer's clock, 1 ms) to the end of its write to "
         "the "
         "streams at the tail; each worker counts each row once.");
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

static void
append_database(struct buf *buf, const struct feed *feed, const struct hub_counters *totals)
{
    uint64_t lag_ms = feed_lag_ms(feed);
    counter(buf, "rows_total", totals->rows, "Rows seen by this worker.");
    gauge(buf, "tail_id", (uint64_t)feed_tail(feed), "Highest id seen.");
    gauge(buf, "database_up", feed_trouble(feed) == NULL,
          "1 while the database can be read.");
    counter(buf, "database_errors_total", totals->database_errors,
            "Reads of the database that failed; a lock is none.");
    head(buf, "feed_lag_seconds", "gauge",
         "For how long there have been rows that are not read yet, or the database cannot "
         "be "
         "read.");
    buf_printf(buf, "rowcast_feed_lag_seconds %" PRIu64 ".%03" PRIu64 "\n", lag_ms / 1000,
               lag_ms % 1000);
    counter(buf, "pruned_rows_total", totals->pruned_rows,
            "Rows deleted by --keep-age and --keep-rows.");
    counter(buf, "prunes_total", totals->prunes, "Transactions that did so.");
}

void
report_append_metrics(struct buf *buf, const struct hub *hub, const struct feed *feed)
{
    const struct hub_config *config = hub_settings(hub);
    struct hub_counters totals;
    hub_totals(hub, &totals);
    head(buf, "build_info", "gauge", "The version; always 1.");
    sample(buf, "build_info", "version", PACKAGE_VERSION, 1);
    head(buf, "start_time_seconds", "gauge", "Unix time of the start.");
    buf_printf(buf, "rowcast_start_time_seconds %" PRIu64 ".%03" PRIu64 "\n",
               totals.started_ms / 1000, totals.started_ms % 1000);
    append_streams(buf, &totals);
    counter(buf, "events_total", totals.events, "Events written, each stream counted.");
    counter(buf, "bytes_total", totals.bytes,
            "Bytes written to streams, FastCGI framing not counted.");
    counter(buf, "gaps_total", totals.gaps, "Gaps told.");
    counter(buf, "publish_requests_total", totals.publish_requests,
            "Requests that published rows.");
    counter(buf, "published_total", totals.published_rows, "Rows published over HTTP.");
    append_lag(buf, &totals.lag);
    gauge(buf, "window_bytes", totals.window_bytes,
          "Memory of the windows of all workers.");
    gauge(buf, "window_limit_bytes", config->window_bytes * config->workers,
          "Their limit, --window-bytes for each worker.");
    append_database(buf, feed, &totals);
}
