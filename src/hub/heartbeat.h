/* heartbeat.h - heartbeats, and the end of readers that take nothing. */
#ifndef ROWCAST_HUB_HEARTBEAT_H
#define ROWCAST_HUB_HEARTBEAT_H

#include "hub/state.h"

/* Sets the timer for the next heartbeat or stall that is due. hub/hub.c calls it before the loop
 * waits. */
void heartbeat_arm(struct hub *hub);

#endif
