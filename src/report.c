/* report.c - what an administrator, or his monitor, asks a running rowcast. */
#include "config.h"

#include "report.h"

#include <inttypes.h>

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
    metric(buf, "bytes_total", "counter", "Bytes written, framing counted.",
           counters->bytes);
    metric(buf, "gaps_total", "counter", "Gaps told.", counters->gaps);
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
