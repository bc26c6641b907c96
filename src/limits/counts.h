/* counts.h - how many each key has, over all workers: a table for each worker in shared memory.
 *
 * A worker writes its own table only and reads all of them, so there is no lock to be left behind:
 * what a dead worker held is given back by clearing its table. A stream that wants a place books it
 * first and then looks at the sum. Two that do so at once may both see one too many and both go,
 * but never are there more than the limit. */
#ifndef ROWCAST_LIMITS_COUNTS_H
#define ROWCAST_LIMITS_COUNTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised slots are an empty tally. */
struct counts {
    _Atomic uint64_t *slots; /* workers * slot_count words */
    size_t slot_count;       /* a power of two, at least COUNTS_WINDOW */
    size_t workers;
};

/* So many places a key may have in a table; when others have all of them it is not counted. */
#define COUNTS_WINDOW 16
#define COUNTS_COUNT_MAX ((UINT64_C(1) << 20) - 1) /* of one key in one worker */
#define COUNTS_NOWHERE SIZE_MAX

/* One more for the key, in this worker's table. Returns the place, for counts_drop, or
 * COUNTS_NOWHERE. key: a hash that strangers cannot aim; one for every limit and name. */
size_t counts_add(const struct counts *counts, size_t worker, uint64_t key);

/* One less. COUNTS_NOWHERE is fine. */
void counts_drop(const struct counts *counts, size_t place);

/* Of all workers. */
uint64_t counts_sum(const struct counts *counts, uint64_t key);

/* All that the worker has booked; it must not be running. */
void counts_clear(const struct counts *counts, size_t worker);

#endif
