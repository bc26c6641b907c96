/* random.h - a random number, to spread events in time that would otherwise come all at once. */
#ifndef ROWCAST_BASE_RANDOM_H
#define ROWCAST_BASE_RANDOM_H

#include <stdint.h>
#include <uv.h>

/* From 0 to `most`, both included; 0 when the system has no random bytes. */
static inline uint64_t
random_up_to(uint64_t most)
{
    uint64_t number = 0;
    uv_random(NULL, NULL, &number, sizeof number, 0, NULL);
    return most == UINT64_MAX ? number : number % (most + 1);
}

#endif
