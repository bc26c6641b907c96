/* counts.c - a word for each key: the upper bits of its hash, and its count.
 *
 * All accesses are sequentially consistent, the default: of two workers that book the last place,
 * at least the later one sees both. */
#include "config.h"

#include "limits/counts.h"

#define COUNT_BITS 20
#define COUNT_MASK COUNTS_COUNT_MAX

static _Atomic uint64_t *
slot_of(const struct counts *counts, size_t worker, uint64_t at)
{
    return &counts->slots[worker * counts->slot_count + (at & (counts->slot_count - 1))];
}

size_t
counts_add(const struct counts *counts, size_t worker, uint64_t key)
{
    _Atomic uint64_t *free_slot = NULL;
    for (size_t i = 0; i < COUNTS_WINDOW; i++) {
        _Atomic uint64_t *slot = slot_of(counts, worker, key + i);
        uint64_t word = atomic_load(slot);
        if (word == 0 && free_slot == NULL)
            free_slot = slot;
        if (word == 0 || word >> COUNT_BITS != key >> COUNT_BITS)
            continue;
        if ((word & COUNT_MASK) == COUNT_MASK)
            return COUNTS_NOWHERE;
        atomic_store(slot, word + 1);
        return (size_t)(slot - counts->slots);
    }
    if (free_slot == NULL)
        return COUNTS_NOWHERE;
    atomic_store(free_slot, (key >> COUNT_BITS << COUNT_BITS) | 1);
    return (size_t)(free_slot - counts->slots);
}

void
counts_drop(const struct counts *counts, size_t place)
{
    if (place == COUNTS_NOWHERE)
        return;
    _Atomic uint64_t *slot = &counts->slots[place];
    uint64_t word = atomic_load(slot);
    atomic_store(slot, (word & COUNT_MASK) > 1 ? word - 1 : 0);
}

uint64_t
counts_sum(const struct counts *counts, uint64_t key)
{
    uint64_t sum = 0;
    for (size_t worker = 0; worker < counts->workers; worker++) {
        for (size_t i = 0; i < COUNTS_WINDOW; i++) {
            uint64_t word = atomic_load(slot_of(counts, worker, key + i));
            if (word >> COUNT_BITS == key >> COUNT_BITS)
                sum += word & COUNT_MASK;
        }
    }
    return sum;
}

void
counts_clear(const struct counts *counts, size_t worker)
{
    for (size_t i = 0; i < counts->slot_count; i++)
        if (atomic_load(slot_of(counts, worker, i)) != 0)
            atomic_store(slot_of(counts, worker, i), 0);
}
