/* gap.c - the rule for gaps; see store/gap.h. */
#include "config.h"

#include "store/gap.h"

int64_t
gap_before_all(const struct store_marks *marks)
{
    /* After a rebase, or a deletion in the middle, there are rows with ids below these marks. */
    int64_t mark = marks->low_water > marks->base ? marks->low_water : marks->base;
    return marks->lowest - 1 < mark ? marks->lowest - 1 : mark;
}

bool
gap_find(const struct store_marks *marks, int64_t after, enum gap_reason *reason,
         int64_t *resumed_at)
{
    if (after > marks->tail) { /* an id of another database: nothing of it can be here */
        *reason = GAP_RESET;
        *resumed_at = marks->tail;
    } else if (after < marks->base) { /* from before this database was made or rebased */
        *reason = GAP_RESET;
        *resumed_at = gap_before_all(marks);
    } else if (after < marks->low_water) {
        *reason = GAP_PRUNED;
        *resumed_at = marks->low_water;
    } else {
        return false;
    }
    return true;
}
