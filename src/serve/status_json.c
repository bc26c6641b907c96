/* status_json.c - the running program as one JSON object. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>
#include <uv.h>

#include "base/json.h"

#define CHANNELS_MAX 8 /* shown of a stream */

const char *const report_format_names[FORMATS] = {[FORMAT_SSE] = "sse",
                                                  [FORMAT_ENVELOPE] = "envelope",
                                                  [FORMAT_NDJSON] = "ndjson",
                                                  [FORMAT_JSON] = "json"};

static void
append_number(struct buf *buf, const char *name, uint64_t value)
{
    buf_printf(buf, "\"%s\":%" PRIu64 ",", name, value);
}

static void
append_text_or_null(struct buf *buf, const char *name, const char *text)
{
    buf_printf(buf, "\"%s\":", name);
    if (text == NULL)
        buf_append_text(buf, "null");
    else
        json_append_string(buf, slice_of(text));
    buf_append_text(buf, ",");
}

static void
append_stream(void *arg, const struct hub_stream_info *info)
{
    struct buf *buf = arg;
    size_t shown =
        info->channels->count < CHANNELS_MAX ? info->channels->count : CHANNELS_MAX;
    buf_append_text(buf, buf->p[buf->len - 1] == '[' ? "{" : ",{");
    append_number(buf, "stream", info->serial);
    append_text_or_null(buf, "user", info->user);
    append_text_or_null(buf, "address", info->address);
    buf_append_text(buf, "\"channels\":[");
    for (size_t i = 0; i < shown; i++) {
        buf_append_text(buf, i > 0 ? "," : "");
        json_append_string(buf, slice_of(info->channels->items[i]));
    }
    buf_append_text(buf, "],");
    append_number(buf, "more_channels", info->channels->count - shown);
    append_text_or_null(buf, "format", report_format_names[info->format]);
    append_text_or_null(buf, "state", info->state);
    append_number(buf, "age_ms", info->age_ms);
    append_number(buf, "distance", (uint64_t)info->distance);
    append_number(buf, "events", info->events);
    append_number(buf, "bytes", info->bytes);
    buf_printf(buf, "\"cursor\":\"%" PRId64 "\"}", info->cursor);
}

static void
append_map(struct buf *buf, const char *name, const uint64_t *values,
           const char *(*name_of)(int which), int count)
{
    buf_printf(buf, "\"%s\":{", name);
    for (int i = 0; i < count; i++)
        buf_printf(buf, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", name_of(i), values[i]);
    buf_append_text(buf, "},");
}

static const char *
close_name(int why)
{
    return close_reason_name((enum close_reason)why);
}

static const char *
refusal_name(int why)
{
    return hub_refusal_name((enum hub_refusal)why);
}

static const char *
format_name(int format)
{
    return report_format_names[format];
}

void
report_append_status(struct buf *buf, const struct hub *hub, const struct feed *feed,
                     size_t most)
{
    struct hub_counters totals;
    const struct store_marks *marks = feed_marks(feed);
    const struct hub_config *config = hub_settings(hub);
    uv_timeval64_t now = {0};
    hub_totals(hub, &totals);
    uv_gettimeofday(&now);
    buf_printf(buf, "{\"version\":\"%s\",", PACKAGE_VERSION);
    append_number(buf, "time_ms",
                  (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000);
    append_number(buf, "started_ms", totals.started_ms);
    append_number(buf, "workers", config->workers);
    append_number(buf, "worker", config->worker);
    append_number(buf, "streams", totals.streams);
    append_number(buf, "behind", totals.behind);
    append_number(buf, "opened", totals.opened);
    append_number(buf, "refused", totals.refused);
    append_number(buf, "rows", totals.rows);
    append_number(buf, "events", totals.events);
    append_number(buf, "bytes", totals.bytes);
    append_number(buf, "gaps", totals.gaps);
    append_number(buf, "window_bytes", totals.window_bytes);
    append_number(buf, "window_limit", config->window_bytes * config->workers);
    append_number(buf, "database_errors", totals.database_errors);
    append_number(buf, "pruned_rows", totals.pruned_rows);
    append_map(buf, "closed", totals.closed, close_name, CLOSE_REASONS);
    append_map(buf, "refused_by", totals.refused_by, refusal_name, HUB_REFUSALS);
    append_map(buf, "formats", totals.formats, format_name, FORMATS);
    buf_printf(buf, "\"lag\":{\"count\":%" PRIu64 ",\"sum_ms\":%" PRIu64 "},",
               totals.lag.count, totals.lag.sum_ms);
    append_number(buf, "feed_lag_ms", feed_lag_ms(feed));
    buf_printf(buf,
               "\"base\":\"%" PRId64 "\",\"low_water\":\"%" PRId64 "\",\"tail\":\"%" PRId64
               "\",\"open\":[",
               marks->base, marks->low_water, feed_tail(feed));
    size_t more = buf->failed ? 0 : hub_each_stream(hub, most, append_stream, buf);
    buf_printf(buf, "],\"open_more\":%zu,\"database\":", more);
    const char *trouble = feed_trouble(feed);
    json_append_string(buf, slice_of(trouble == NULL ? "ok" : trouble));
    buf_append_text(buf, "}");
}
