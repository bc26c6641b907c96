/* replay.h - streams that are behind: resume, history, slow readers, throttled ones. */
#ifndef ROWCAST_HUB_REPLAY_H
#define ROWCAST_HUB_REPLAY_H

#include "hub/state.h"

/* A turn's steps of the streams that are READY. False: the database cannot be read now; wait a
 * little before the next turn. */
bool replay_run(struct hub *hub);

#endif
