/* stream_log.c - a stream's two lines in the log: one when it opens, one when it has ended. A poll,
 * which comes again and again, has the second one only.
 *
 * Both have the same names for the same things and each can be read alone: awk and the journal's
 * readers do not join lines. Bounds are not shown: they are the administrator's own. */
#include "config.h"

#include "hub/stream_log.h"

#include "hub/stream.h"

struct quoted {
    char user[128];
    char address[64];
    char channels[256];
    size_t more; /* patterns that found no room */
    char suppressed[REFUSALS_SUPPRESSED_MAX];
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
    names->suppressed[0] = '\0';
    if (stream->hub->config.refusal_log != NULL)
        refusal_log_take_suppressed(stream->hub->config.refusal_log, names->suppressed);
}

/* False when the log has enough lines of the stream's address for now. */
static bool
stream_log_admit(const struct stream *stream)
{
    const struct hub *hub = stream->hub;
    struct refusal_log *refusal_log = hub->config.refusal_log;
    uint64_t now_ms = uv_now(hub->loop);
    if (hub->log->level < LOG_INFO)
        return false;
    if (refusal_log == NULL)
        return true;
    return stream->kind->has_open_line
               ? refusal_log_admit_stream(refusal_log, stream->address, now_ms)
               : refusal_log_admit_poll(refusal_log, stream->address, now_ms);
}

void
stream_log_open(struct stream *stream)
{
    struct quoted names;
    if (!stream->kind->has_open_line)
        return;
    stream->log_lines = stream_log_admit(stream) ? STREAM_LOGGED : STREAM_NOT_LOGGED;
    if (stream->log_lines == STREAM_NOT_LOGGED)
        return;
    stream_quote(stream, &names);
    log_line(stream->hub->log, LOG_INFO,
             "open stream=%llu user=%s address=%s channels=%s more=%zu from=%lld%s",
             (unsigned long long)stream->serial, names.user, names.address, names.channels,
             names.more, (long long)stream->started_at, names.suppressed);
}

static void
stream_log_end(struct stream *stream, enum close_reason why)
{
    const struct hub *hub = stream->hub;
    struct quoted names;
    uint64_t ms = uv_now(hub->loop) - stream->opened_ms;
    stream_quote(stream, &names);
    log_line(hub->log, LOG_INFO,
             "close stream=%llu user=%s address=%s channels=%s more=%zu why=%s from=%lld "
             "to=%lld events=%llu bytes=%llu seconds=%llu.%03llu%s",
             (unsigned long long)stream->serial, names.user, names.address, names.channels,
             names.more, close_reason_name(why), (long long)stream->started_at,
             (long long)stream_cursor(stream), (unsigned long long)stream->events,
             (unsigned long long)stream->bytes, (unsigned long long)(ms / 1000),
             (unsigned long long)(ms % 1000), names.suppressed);
}

void
stream_log_close(struct stream *stream, enum close_reason why)
{
    if (!stream->kind->has_open_line)
        stream->log_lines = stream_log_admit(stream) ? STREAM_LOGGED : STREAM_NOT_LOGGED;
    else if (stream->log_lines == STREAM_LOG_UNDECIDED) /* it ended before its start */
        stream_log_open(stream);
    if (stream->log_lines == STREAM_LOGGED)
        stream_log_end(stream, why);
}
