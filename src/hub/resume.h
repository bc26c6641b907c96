/* resume.h - from what a client asks for to a cursor, and the gap if there is one. */
#ifndef ROWCAST_HUB_RESUME_H
#define ROWCAST_HUB_RESUME_H

#include "hub/state.h"

/* Finds where a stream begins; for START_LAST that is the tail, from which hub/search.c goes back.
 * Returns 0, or -1 when the table cannot be read now. */
int resume_find_start(struct hub *hub, const struct hub_request *request,
                      struct resume_point *start);

#endif
