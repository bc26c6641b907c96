/* report.h - health, metrics and status as text. */
#ifndef ROWCAST_SERVE_REPORT_H
#define ROWCAST_SERVE_REPORT_H

#include "base/buf.h"
#include "feed/feed.h"
#include "hub/hub.h"
#include "publish/writer.h"

/* Open streams that are listed: in the JSON document, and in each event of the live status. */
#define REPORT_STREAMS_MAX 1000
#define REPORT_STREAMS_LIVE 100
#define REPORT_CHANNELS_METRICS 100 /* names of channels in /metrics */

/* Returns 200 and "ok", or 503 and the reason, in *text. Reads the database first. What does not
 * concern readers (old rows are not deleted) follows an "ok". writer: NULL: there is none.
 * max_lag_ms: so old a follower's file may be, even if PostgreSQL is away; 0: no bound. */
int report_health(struct feed *feed, struct writer *writer, int64_t max_lag_ms,
                  struct error *text);

/* The reason for a stranger: of each path only its last name is left. */
void report_hide_folders(struct error *text);

/* Prometheus text exposition format, version 0.0.4. */
void report_append_metrics(struct buf *buf, const struct hub *hub, const struct feed *feed);

/* One JSON object on one line, without a line end. Counters are those of all workers; streams are
 * listed of this one, at most `most`. */
void report_append_status(struct buf *buf, const struct hub *hub, const struct feed *feed,
                          size_t most);

/* The same for a person: an HTML page that renews itself. nonce is that of its
 * Content-Security-Policy. */
void report_append_page(struct buf *buf, const struct hub *hub, const struct feed *feed,
                        const char *nonce);

#endif
