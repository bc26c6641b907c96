/* verdict.h - what an audience's patterns said of a channel, remembered for its next row.
 *
 * Rows come in few channels, again and again. A channel that was seen lately has a place and a
 * number of its own (`struct channel_memory`, one for all audiences); an audience keeps for each
 * place the number and the verdict (`struct verdicts`). The number changes when another channel
 * takes the place over, so no verdict is ever taken for that of another channel: this does not
 * rest on a hash. Pure. */
#ifndef ROWCAST_HUB_VERDICT_H
#define ROWCAST_HUB_VERDICT_H

#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

#define VERDICT_PLACES 64    /* a power of two; channels that are remembered at once */
#define VERDICT_NAME_MAX 128 /* bytes; longer channels are judged each time */

struct channel_memory {
    struct hash_key key;
    uint64_t last_serial;
    struct {
        uint64_t serial; /* 0: nothing was here yet */
        size_t len;
        char text[VERDICT_NAME_MAX];
    } places[VERDICT_PLACES];
};

/* A channel among those that are remembered. */
struct channel_mark {
    size_t place;
    uint64_t serial; /* 0: it is not remembered */
};

/* Looks the channel up. A new channel may take the place of an older one. */
struct channel_mark channel_memory_mark(struct channel_memory *memory,
                                        struct slice channel);

/* Zero-initialised it knows nothing. */
struct verdicts {
    uint64_t cells
        [VERDICT_PLACES]; /* twice the serial, plus 1 where the channel is let through */
};

enum verdict { VERDICT_UNKNOWN, VERDICT_NO, VERDICT_YES };
enum verdict verdicts_get(const struct verdicts *verdicts, struct channel_mark mark);
void verdicts_set(struct verdicts *verdicts, struct channel_mark mark,
                  enum verdict verdict);

#endif
