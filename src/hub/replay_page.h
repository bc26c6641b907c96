/* replay_page.h - the rows that a stream needs next, packed. */
#ifndef ROWCAST_HUB_REPLAY_PAGE_H
#define ROWCAST_HUB_REPLAY_PAGE_H

#include "hub/state.h"

enum replay_page_result {
    REPLAY_PAGE_OK,
    REPLAY_PAGE_STALE, /* rows were deleted, and the feed has not seen it: let it look first */
    REPLAY_PAGE_UNREADABLE, /* the database is locked or broken; the feed knows */
    REPLAY_PAGE_NO_MEMORY
};

/* Makes hub->page one that has the rows that the stream needs next, unless it is that already.
 * *from: the mark after which they begin; NULL: the page's start. A page may have no event: it
 * then says how far the cursor may move. Takes as long as the turn's clock (hub/turns.h) allows. */
enum replay_page_result replay_page_prepare(struct hub *hub, const struct stream *stream,
                                            const struct mark **from);

#endif
