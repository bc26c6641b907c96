/* resume.c - the start of a stream, from its request; see hub/resume.h. Called by hub/admit.c. */
#include "config.h"

#include "hub/resume.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/gap.h"

static void
set_gap(struct resume_point *start, const struct gap *gap, const char *after)
{
    start->has_gap = true;
    start->gap = *gap;
    /* The client's own text: it may be a number beyond 2^53 - 1, or no number. */
    snprintf(start->gap.after, sizeof start->gap.after, "%s", after);
    start->cursor = gap->resumed_at;
}

static int
resume_after(const struct hub *hub, const struct hub_request *request,
             struct resume_point *start)
{
    const struct store_marks *marks = feed_marks(hub->feed);
    struct gap gap;
    /* While the database cannot be read, an id above the tail is no gap: another worker may have
     * given it out. */
    if (request->start_value > marks->tail && feed_trouble(hub->feed) != NULL)
        return -1;
    start->cursor = request->start_value;
    /* Nor in a follower's file: another node may have given it out. hub/replay.c waits for it. */
    if (request->start_value > marks->tail && feed_follower(hub->feed) != NULL)
        return 0;
    if (gap_find(marks, request->start_value, &gap))
        set_gap(start, &gap, request->start_text);
    return 0;
}

static int
resume_by_age(struct hub *hub, int64_t age_ms, struct resume_point *start)
{
    struct error error = {""};
    struct store *store = feed_store(hub->feed);
    if (store == NULL)
        return -1;
    int64_t now_ms = clock_unix_ms();
    struct store_time time = {.created_at_ms = now_ms - age_ms, .now_ms = now_ms};
    enum store_result result = store_find_time(store, &time, &start->cursor, &error);
    if (result != STORE_OK)
        feed_report(hub->feed, result, &error);
    return result == STORE_OK ? 0 : -1;
}

int
resume_find_start(struct hub *hub, const struct hub_request *request,
                  struct resume_point *start)
{
    /* Not the hub's tail, which is lower while the hub reads a long burst. The cursor may be above
     * it; replay then waits for the hub. */
    const struct store_marks *marks = feed_marks(hub->feed);
    *start = (struct resume_point){.cursor = marks->tail};
    switch (request->start) {
    case START_TAIL:
    case START_LAST:
        return 0;
    case START_AFTER:
        return resume_after(hub, request, start);
    case START_BAD_ID:
        set_gap(start, &(struct gap){.reason = GAP_BAD_ID, .resumed_at = marks->tail},
                request->start_text);
        return 0;
    case START_ALL:
        start->cursor = gap_before_all(marks);
        return 0;
    case START_AGE:
        return resume_by_age(hub, request->start_value, start);
    }
    return 0;
}
