/* table_state.h - streams that begin with the rows of tables: state=. */
#ifndef ROWCAST_HUB_TABLE_STATE_H
#define ROWCAST_HUB_TABLE_STATE_H

#include "hub/stream.h"

/* Takes the names over from the request. Returns 0, or -1 when out of memory. */
int table_state_set_up(struct stream *stream, const struct hub_request *request);

/* The rows of the tables come next, from the first of the first table on. Nothing for a stream
 * without state=. */
void table_state_begin(struct stream *stream);

/* The next part. On STORE_BUSY or STORE_FAILED the step is to be made again. */
enum store_result table_state_step(struct stream *stream);

void table_state_fini(struct table_state *tables);

#endif
