/* stream_log.c - a stream's two lines in the log: one when it opens, one when it has ended.
 *
 * Both have the same names for the same things and each can be read alone: awk and the journal's
 * readers do not join lines. Bounds are not shown: they are the administrator's own. */
#include "config.h"

#include "hub/stream_log.h"

struct quoted {
    char user[128];
    char address[64];
    char channels[256];
    size_t more; /* patterns that found no room */
};

static void
stream_quote(const struct stream *stream, struct quoted *names)
{
    const struct filter *filter = &stream->audience->filter;
    static const char *const all[] = {"*"};
    struct log_list list = {(const char *const *)filter->requested.items,
                            filter->requested.count};
    if (list.count == 0)
        list = (struct log_list){all, 1};
    log_quote(names->user, sizeof names->user, filter->user);
    log_quote(names->address, sizeof names->address, stream->address);
    log_quote_list(names->channels, sizeof names->channels, list, &names->more);
}

void
stream_log_open(struct stream *stream)
{
    struct quoted names;
    stream->is_logged = true;
    if (stream->hub->log->level < LOG_INFO)
        return;
    stream_quote(stream, &names);
    log_line(stream->hub->log, LOG_INFO,
             "open stream=%llu user=%s address=%s channels=%s more=%zu from=%lld",
             (unsigned long long)stream->serial, names.user, names.address, names.channels,
             names.more, (long long)stream->started_at);
}

void
stream_log_close(struct stream *stream, enum close_reason why)
{
    const struct hub *hub = stream->hub;
    struct quoted names;
    uint64_t ms = uv_now(hub->loop) - stream->opened_ms;
    int64_t cursor = stream_cursor(stream);
    if (hub->log->level < LOG_INFO)
        return;
    if (!stream->is_logged) /* it ended before its start was found */
        stream_log_open(stream);
    stream_quote(stream, &names);
    log_line(hub->log, LOG_INFO,
             "close stream=%llu user=%s address=%s channels=%s more=%zu why=%s from=%lld "
             "to=%lld events=%llu bytes=%llu seconds=%llu.%03llu",
             (unsigned long long)stream->serial, names.user, names.address, names.channels,
             names.more, close_reason_name(why), (long long)stream->started_at,
             (long long)cursor, (unsigned long long)stream->events,
             (unsigned long long)stream->bytes, (unsigned long long)(ms / 1000),
             (unsigned long long)(ms % 1000));
}
