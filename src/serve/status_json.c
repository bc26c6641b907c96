/* status_json.c - the measures and the open streams as one JSON object. */
#include "config.h"

#include <inttypes.h>

#include "base/json.h"
#include "serve/measures.h"
#include "serve/report.h"

#define CHANNELS_MAX 8 /* of a stream, in the list */

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
    append_text_or_null(buf, "format", measure_format_name((int)info->format));
    append_text_or_null(buf, "state", info->state);
    append_number(buf, "age_ms", info->age_ms);
    append_number(buf, "distance", (uint64_t)info->distance);
    append_number(buf, "events", info->events);
    append_number(buf, "bytes", info->bytes);
    buf_printf(buf, "\"cursor\":\"%" PRId64 "\"}", info->cursor);
}

static void
append_channel(void *arg, const char *channel, size_t streams)
{
    struct buf *buf = arg;
    buf_append_text(buf, buf->p[buf->len - 1] == '[' ? "{" : ",{");
    append_text_or_null(buf, "channel", channel);
    buf_printf(buf, "\"streams\":%zu}", streams);
}

/* The lists of what is open: channels, and the streams of this worker. */
static void
append_lists(struct buf *buf, const struct hub *hub, size_t most)
{
    buf_append_text(buf, "\"channels\":[");
    size_t more = buf->failed ? 0 : hub_each_channel(hub, most, append_channel, buf);
    buf_printf(buf, "],\"channels_more\":%zu,\"open\":[", more);
    more = buf->failed ? 0 : hub_each_stream(hub, most, append_stream, buf);
    buf_printf(buf, "],\"open_more\":%zu,", more);
}

static void
append_measure(struct buf *buf, const struct measure *measure,
               const struct measures *measures)
{
    const struct measure_label *label = measure->label;
    if (label == NULL) {
        const char *quote = measure->unit == MEASURE_ID ? "\"" : "";
        buf_printf(buf, "\"%s\":%s%" PRIu64 "%s,", measure->key, quote,
                   measure_value(measure, measures, 0), quote);
        return;
    }
    buf_printf(buf, "\"%s\":{", measure->key);
    for (int i = 0; i < label->count; i++)
        buf_printf(buf, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", label->value_name(i),
                   measure_value(measure, measures, i));
    buf_append_text(buf, "},");
}

void
report_append_status(struct buf *buf, const struct hub *hub, const struct feed *feed,
                     size_t most)
{
    struct measures measures;
    const struct store_marks *marks = feed_marks(feed);
    const struct latency_histogram *lag = &measures.totals.lag;
    const char *trouble = feed_trouble(feed);
    measures_take(&measures, hub, feed);
    buf_append_text(buf, "{\"version\":\"" PACKAGE_VERSION "\",");
    for (size_t i = 0; i < measures_count; i++)
        if (measures_table[i].key != NULL)
            append_measure(buf, &measures_table[i], &measures);
    buf_printf(buf, "\"lag\":{\"count\":%" PRIu64 ",\"sum_ms\":%" PRIu64 "},", lag->count,
               lag->sum_ms);
    buf_printf(buf, "\"base\":\"%" PRId64 "\",\"low_water\":\"%" PRId64 "\",", marks->base,
               marks->low_water);
    append_lists(buf, hub, most);
    append_text_or_null(buf, "file", feed_path(feed));
    buf_append_text(buf, "\"database\":");
    json_append_string(buf, slice_of(trouble == NULL ? "ok" : trouble));
    buf_append_text(buf, "}");
}
