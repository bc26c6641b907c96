/* report.h - health, metrics and status as text. */
#ifndef ROWCAST_REPORT_H
#define ROWCAST_REPORT_H

#include "feed.h"
#include "hub.h"

/* Returns 200 and "ok", or 503 and the reason, in *text (valid until the next look). Looks at the
 * database first. */
int report_health(struct feed *feed, const char **text);

/* Prometheus text exposition format, version 0.0.4. */
void report_append_metrics(struct buf *buf, const struct hub *hub, const struct feed *feed);

/* One JSON object. */
void report_append_status(struct buf *buf, const struct hub *hub, const struct feed *feed);

/* The same for a person: an HTML page that renews itself. */
void report_append_page(struct buf *buf, const struct hub *hub, const struct feed *feed);

#endif
