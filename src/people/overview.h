/* overview.h - what a database says of its readers, for `rowcast status --db`. */
#ifndef ROWCAST_PEOPLE_OVERVIEW_H
#define ROWCAST_PEOPLE_OVERVIEW_H

#include "base/buf.h"
#include "store/store.h"

#define OVERVIEW_CHANNELS_MAX 100

/* Appends a JSON object: the log's marks and rows, those who are connected (of a serve with
 * --presence), marks, revocations and subscriptions to Web Push. Of one snapshot; looks at each
 * row's existence, so it is for a person who asks. */
enum store_result overview_append(struct buf *buf, struct store *store, int64_t now_ms,
                                  struct error *error);

#endif
