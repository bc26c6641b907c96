/* search.h - last=N: finds where the newest N rows of a stream begin, going back from the tail. */
#ifndef ROWCAST_HUB_SEARCH_H
#define ROWCAST_HUB_SEARCH_H

#include "hub/stream.h"

/* The stream, which has not begun, is to look for its newest `rows` rows. Its headers are in
 * extra->headers. */
void search_start(struct stream *stream, uint32_t rows);

/* One step back; when enough rows were found, or SEARCH_ROWS_MAX were looked at, the stream
 * begins. On STORE_BUSY or STORE_FAILED the step is to be tried again; the feed knows. */
enum store_result search_step(struct stream *stream);

#endif
