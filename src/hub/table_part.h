/* table_part.h - the next rows of a table for a stream that reads its state. */
#ifndef ROWCAST_HUB_TABLE_PART_H
#define ROWCAST_HUB_TABLE_PART_H

#include "hub/state.h"

/* *part: what the stream reads next, one that is kept or a new one: the rows behind
 * stream->extra->tables.behind that the stream may see, of one snapshot, as much as the turn's
 * clock and a part's size allow. It may have no row at all and say has_more. The table's track
 * is part->track; NULL: it is tracked no more, and the part is empty. Valid until the next
 * call. On STORE_BUSY or STORE_FAILED the feed knows, and the step is to be made again;
 * STORE_REFUSED: the table cannot be read as its definition says. */
enum store_result table_part_prepare(struct hub *hub, const struct stream *stream,
                                     const struct table_part **part);

/* No part is given any more to streams of the audience, whose memory may come back as another
 * (NULL: to none at all, as tracks are about to be freed). */
void table_parts_forget(struct hub *hub, const struct audience *audience);

void table_parts_fini(struct hub *hub);

#endif
