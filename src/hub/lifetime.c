/* lifetime.c - the timer that ends a stream; see hub/lifetime.h. */
#include "config.h"

#include "hub/lifetime.h"

#include "base/clock.h"
#include "base/random.h"

static uint64_t
ms_until(int64_t unix_ms)
{
    int64_t now_ms = clock_unix_ms();
    return unix_ms > now_ms ? (uint64_t)(unix_ms - now_ms) : 0;
}

static void
on_lifetime(uv_timer_t *timer)
{
    struct stream_extra *extra = timer->data;
    struct stream *stream = extra->stream;
    if (stream == NULL || stream->state == STREAM_CLOSED)
        return;
    uint64_t left_ms = extra->ends_by_ticket ? ms_until(extra->expires_at_ms) : 0;
    if (left_ms > 0) /* the clock was set back */
        uv_timer_start(timer, on_lifetime, left_ms, 0);
    else if (extra->ends_by_ticket)
        stream->kind->end(stream, CLOSE_EXPIRED, "ticket expired");
    else
        stream->kind->end(stream, CLOSE_AGED, "max age reached");
}

int
lifetime_start(struct stream *stream, uint64_t limit_ms, int64_t expires_at_ms)
{
    if (limit_ms == LIFETIME_NO_LIMIT && expires_at_ms == 0)
        return 0;
    struct stream_extra *extra = stream_need_extra(stream);
    if (extra == NULL)
        return -1;
    extra->expires_at_ms = expires_at_ms;
    if (expires_at_ms > 0 && ms_until(expires_at_ms) < limit_ms) {
        limit_ms = ms_until(expires_at_ms);
        extra->ends_by_ticket = true;
    }
    uv_timer_start(&extra->lifetime, on_lifetime, limit_ms, 0);
    return 0;
}

uint64_t
lifetime_max_age(const struct hub *hub)
{
    uint64_t age_ms = hub->config.max_age_ms;
    if (age_ms == 0)
        return LIFETIME_NO_LIMIT;
    return age_ms - age_ms / 10 + random_up_to(age_ms / 5);
}
