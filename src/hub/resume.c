/* resume.c - from "where does this client stand?" to a cursor, and the gap if there is one.
 *
 * hub/hub.c asks when a stream opens, hub/replay.c when rows are deleted under a stream's cursor and
 * when the database is replaced. DESIGN.md section 4, "A gap is never silent". */
#include "config.h"

#include <stdio.h>

#include "store/gap.h"
#include "hub/state.h"

static void
resume_set_gap(struct resume_point *start, enum gap_reason reason, int64_t after,
               int64_t resumed_at)
{
    start->has_gap = true;
    start->cursor = resumed_at;
    snprintf(start->after, sizeof start->after, "%lld", (long long)after);
    start->gap =
        (struct gap){.reason = reason, .after = start->after, .resumed_at = resumed_at};
}

bool
resume_find_gap(const struct hub *hub, int64_t after, struct resume_point *start)
{
    enum gap_reason reason;
    int64_t resumed_at;
    if (!gap_find(feed_marks(hub->feed), after, &reason, &resumed_at))
        return false;
    resume_set_gap(start, reason, after, resumed_at);
    return true;
}

static void
resume_bad_id(const struct hub *hub, const struct request *request,
              struct resume_point *start)
{
    resume_set_gap(start, GAP_BAD_ID, 0, feed_marks(hub->feed)->tail);
    snprintf(start->after, sizeof start->after, "%s", request->start_text);
}

static int
resume_by_age(struct hub *hub, int64_t age_ms, struct resume_point *start)
{
    struct error error = {""};
    if (feed_store(hub->feed) == NULL)
        return -1;
    int64_t now_ms = wall_clock_ms();
    struct store_time time = {.created_at_ms = now_ms - age_ms, .now_ms = now_ms};
    enum store_result result =
        store_find_time(feed_store(hub->feed), &time, &start->cursor, &error);
    if (result != STORE_OK)
        feed_report(hub->feed, result, &error);
    return result == STORE_OK ? 0 : -1;
}

int
resume_resolve(struct hub *hub, const struct request *request, struct resume_point *start)
{
    /* Not the hub's tail, which lags behind while a long burst is read: the cursor may be above it,
     * and catch-up then waits for the hub. */
    int64_t tail = feed_marks(hub->feed)->tail;
    start->cursor = tail;
    switch (request->start) {
    case START_TAIL:
    case START_LAST:
        return 0;
    case START_AFTER:
        /* An id above our tail is no gap while we cannot look: another worker may have given
         * it out. */
        if (request->start_value > tail && feed_trouble(hub->feed) != NULL)
            return -1;
        if (!resume_find_gap(hub, request->start_value, start))
            start->cursor = request->start_value;
        else /* in the client's own words, which may be a number beyond ours */
            snprintf(start->after, sizeof start->after, "%s", request->start_text);
        return 0;
    case START_BAD_ID:
        resume_bad_id(hub, request, start);
        return 0;
    case START_ALL:
        start->cursor = gap_before_all(feed_marks(hub->feed));
        return 0;
    case START_AGE:
        return resume_by_age(hub, request->start_value, start);
    }
    return 0;
}
