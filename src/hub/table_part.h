/* table_part.h - the next rows of a table for a stream that reads its state. */
#ifndef ROWCAST_HUB_TABLE_PART_H
#define ROWCAST_HUB_TABLE_PART_H

#include "hub/state.h"

/* Makes hub->part one that has what the stream reads next, unless it is that already: the rows behind
 * stream->extra->tables.behind that the stream may see, of one snapshot, as much as the turn's
 * clock and a part's size allow. It may have no row at all and say has_more. The table's track is
 * part.track; NULL: it is tracked no more, and the part is empty. On STORE_BUSY or STORE_FAILED
 * nothing has changed; the feed knows. */
enum store_result table_part_prepare(struct hub *hub, const struct stream *stream);

void table_part_fini(struct table_part *part);

#endif
