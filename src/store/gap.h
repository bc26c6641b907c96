/* gap.h - what a reader has missed for good, judged from what the table remembers. Pure.
 *
 * A gap is never silent (doc/PROTOCOL.md, "Gaps"): this is the one place for that rule, whether
 * the reader is a stream that resumes, one that rows were deleted under, or `rowcast tail`. */
#ifndef ROWCAST_STORE_GAP_H
#define ROWCAST_STORE_GAP_H

#include "event/sse.h"
#include "store/store.h"

/* For a reader that has everything up to the id `after`: false when nothing is missing, else true
 * and *gap. */
bool gap_find(const struct store_marks *marks, int64_t after, struct gap *gap);

/* The same when another database is known to be there, or an older state of it: there is always a
 * gap. Ids that fit mean nothing: a backup may have got more rows by now than it lacks. */
void gap_reset(const struct store_marks *marks, int64_t after, struct gap *gap);

/* The cursor before all existing rows: as high as that allows, so that a reader who drops
 * at once and resumes from it gets no gap event. */
int64_t gap_before_all(const struct store_marks *marks);

#endif
