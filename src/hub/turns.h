/* turns.h - in which order streams that are behind get their steps of replay.
 *
 * A stream's first steps come before the later steps of others, so that a newcomer does not wait
 * behind long replays. Later steps go around among addresses, one step for each, so that an
 * address with many replays slows down its own. Addresses are spread over TURN_SHARES queues by a
 * keyed hash; a few may share one. */
#ifndef ROWCAST_HUB_TURNS_H
#define ROWCAST_HUB_TURNS_H

#include "hub/state.h"

#define TURNS_FRESH_STEPS 4 /* how many steps of a stream are its first ones */

/* Returns 0, or -1 with *error. */
int turns_init(struct turns *turns, struct error *error);

/* The share of an address, for stream.share. NULL: not known. */
uint8_t turns_share(const struct turns *turns, const char *address);

/* The stream waits for its next step, behind those of its share. */
void turns_push(struct turns *turns, struct stream *stream);

/* Harmless for a stream that does not wait. */
void turns_remove(struct turns *turns, struct stream *stream);

bool turns_is_empty(const struct turns *turns);

/* Takes the next stream off; NULL: none waits. Its step is counted. */
struct stream *turns_take(struct turns *turns);

/* Sets how long the steps of this turn may take. A step looks at the clock too, because to read a
 * row and match it may take from a microsecond to a millisecond. */
void turns_start_clock(struct turns *turns, uint64_t ns);
/* Gives a step that has begun at least this much time: beginning it again would cost more. */
void turns_allow(struct turns *turns, uint64_t ns);
bool turns_time_is_over(const struct turns *turns);

#endif
