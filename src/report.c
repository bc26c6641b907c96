/* report.c - what an administrator, or his monitor, asks a running rowcast. */
#include "config.h"

#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "json.h"

int
report_health(struct feed *feed, const char **text)
{
    feed_look(feed);
    const char *trouble = feed_lasting_trouble(feed);
    *text = trouble == NULL ? "ok" : trouble;
    return trouble == NULL ? 200 : 503;
}

static void
metric_head(struct buf *buf, const char *name, const char *type, const char *help)
{
    buf_printf(buf, "# HELP rowcast_%s %s\n# TYPE rowcast_%s %s\n", name, help, name, type);
}

static void
metric(struct buf *buf, const char *name, const char *type, const char *help,
       uint64_t value)
{
    metric_head(buf, name, type, help);
    buf_printf(buf, "rowcast_%s %" PRIu64 "\n", name, value);
}

void
report_append_metrics(struct buf *buf, const struct hub *hub, const struct feed *feed)
{
    struct hub_counters totals;
    const struct hub_counters *counters = &totals;
    hub_totals(hub, &totals);
    metric(buf, "streams", "gauge", "Open streams.", counters->streams);
    metric(buf, "streams_behind", "gauge", "Streams in the catch-up queue.",
           counters->behind);
    metric(buf, "opened_total", "counter", "Streams opened.", counters->opened);
    metric(buf, "refused_total", "counter", "Streams refused over a limit.",
           counters->refused);
    metric_head(buf, "closed_total", "counter", "Streams closed, by reason.");
    for (int why = 0; why < CLOSE_WHYS; why++)
        buf_printf(buf, "rowcast_closed_total{why=\"%s\"} %" PRIu64 "\n",
                   close_why_name((enum close_why)why), counters->closed[why]);
    metric(buf, "rows_total", "counter", "Rows seen.", counters->rows);
    metric(buf, "events_total", "counter", "Events written, each stream counted.",
           counters->events);
    metric(buf, "bytes_total", "counter", "Bytes written, FastCGI framing not counted.",
           counters->bytes);
    metric(buf, "gaps_total", "counter", "Gaps told.", counters->gaps);
    metric(buf, "publish_requests_total", "counter", "Requests that published rows.",
           counters->publishes);
    metric(buf, "published_total", "counter", "Rows published over HTTP.",
           counters->published);
    metric(buf, "window_bytes", "gauge", "Memory of the window.", counters->window_bytes);
    metric(buf, "tail_id", "gauge", "Highest id seen.", (uint64_t)feed_tail(feed));
    metric(buf, "database_up", "gauge", "1 while the database can be read.",
           feed_trouble(feed) == NULL);
}

void
report_append_status(struct buf *buf, const struct hub *hub, const struct feed *feed)
{
    struct hub_counters totals;
    const struct hub_counters *counters = &totals;
    hub_totals(hub, &totals);
    const struct store_marks *marks = feed_marks(feed);
    buf_printf(buf,
               "{\"version\":\"%s\",\"streams\":%" PRIu64 ",\"behind\":%" PRIu64
               ",\"opened\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"rows\":%" PRIu64
               ",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"gaps\":%" PRIu64
               ",\"window_bytes\":%" PRIu64 ",",
               PACKAGE_VERSION, counters->streams, counters->behind, counters->opened,
               counters->refused, counters->rows, counters->events, counters->bytes,
               counters->gaps, counters->window_bytes);
    buf_append_text(buf, "\"closed\":{");
    for (int why = 0; why < CLOSE_WHYS; why++)
        buf_printf(buf, "%s\"%s\":%" PRIu64, why > 0 ? "," : "",
                   close_why_name((enum close_why)why), counters->closed[why]);
    buf_printf(buf,
               "},\"base\":\"%" PRId64 "\",\"low_water\":\"%" PRId64
               "\",\"tail\":\"%" PRId64 "\",\"database\":",
               marks->base, marks->low_water, feed_tail(feed));
    const char *trouble = feed_trouble(feed);
    json_append_string(buf, slice_of(trouble == NULL ? "ok" : trouble));
    buf_append_text(buf, "}\n");
}

static void
page_row(struct buf *buf, const char *name, uint64_t value)
{
    buf_printf(buf, "<tr><th scope=row>%s<td>%" PRIu64 "\n", name, value);
}

void
report_append_page(struct buf *buf, const struct hub *hub, const struct feed *feed)
{
    struct hub_counters totals;
    hub_totals(hub, &totals);
    buf_append_text(
        buf, "<!doctype html><html lang=en><meta charset=utf-8>"
             "<meta http-equiv=refresh content=2>"
             "<meta name=viewport content='width=device-width'>"
             "<title>rowcast status</title><style>:root{color-scheme:light dark;"
             "font:1rem/1.5 system-ui,sans-serif}body{margin:2rem}th{text-align:left;"
             "font-weight:normal;padding-right:2rem}td{text-align:right;"
             "font-variant-numeric:tabular-nums}</style><h1>rowcast " PACKAGE_VERSION
             "</h1>\n<table>\n");
    page_row(buf, "open streams", totals.streams);
    page_row(buf, "of them catching up", totals.behind);
    page_row(buf, "opened", totals.opened);
    page_row(buf, "refused over a limit", totals.refused);
    for (int why = 0; why < CLOSE_WHYS; why++) {
        char name[48];
        snprintf(name, sizeof name, "closed: %s", close_why_name((enum close_why)why));
        page_row(buf, name, totals.closed[why]);
    }
    page_row(buf, "rows seen", totals.rows);
    page_row(buf, "events written", totals.events);
    page_row(buf, "bytes written", totals.bytes);
    page_row(buf, "gaps told", totals.gaps);
    page_row(buf, "bytes of the window", totals.window_bytes);
    page_row(buf, "highest id", (uint64_t)feed_tail(feed));
    /* What is wrong may quote a path: no detail of it here, where it would have to be escaped. */
    buf_printf(buf, "</table><p>Database: %s\n",
               feed_trouble(feed) == NULL ? "ok" : "cannot be read, see /health");
}
