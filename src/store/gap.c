/* gap.c - the rule for gaps; see store/gap.h. */
#include "config.h"

#include "store/gap.h"

#include <inttypes.h>
#include <stdio.h>

int64_t
gap_before_all(const struct store_marks *marks)
{
    /* After a rebase, or a deletion in the middle, there are rows with ids below these marks. */
    int64_t mark = marks->low_water > marks->base ? marks->low_water : marks->base;
    return marks->lowest - 1 < mark ? marks->lowest - 1 : mark;
}

bool
gap_find(const struct store_marks *marks, int64_t after, struct gap *gap)
{
    if (after > marks->tail) { /* an id of another database: nothing of it can be here */
        gap->reason = GAP_RESET;
        gap->resumed_at = marks->tail;
    } else if (after < marks->base) { /* from before this database was made or rebased */
        gap->reason = GAP_RESET;
        gap->resumed_at = gap_before_all(marks);
    } else if (after < marks->low_water) {
        gap->reason = GAP_PRUNED;
        gap->resumed_at = marks->low_water;
    } else {
        return false;
    }
    snprintf(gap->after, sizeof gap->after, "%" PRId64, after);
    return true;
}

void
gap_reset(const struct store_marks *marks, int64_t after, struct gap *gap)
{
    if (gap_find(marks, after, gap))
        return;
    gap->reason = GAP_RESET;
    gap->resumed_at = marks->tail;
    snprintf(gap->after, sizeof gap->after, "%" PRId64, after);
}
