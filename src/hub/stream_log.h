/* stream_log.h - a stream's two lines in the log. */
#ifndef ROWCAST_HUB_STREAM_LOG_H
#define ROWCAST_HUB_STREAM_LOG_H

#include "hub/state.h"

void stream_log_open(struct stream *stream);
void stream_log_close(struct stream *stream, enum close_reason why);

#endif
