/* verdict.c - places for channels; each holds the channel that was looked up last; see
 * hub/verdict.h. */
#include "config.h"

#include "hub/verdict.h"

struct channel_mark
channel_memory_mark(struct channel_memory *memory, struct slice channel)
{
    if (channel.p == NULL || channel.len > VERDICT_NAME_MAX)
        return (struct channel_mark){0, 0};
    size_t place = hash_bytes(&memory->key, channel.p, channel.len) & (VERDICT_PLACES - 1);
    bool known = memory->places[place].serial != 0 &&
                 memory->places[place].len == channel.len &&
                 memcmp(memory->places[place].text, channel.p, channel.len) == 0;
    if (!known) {
        memory->places[place].serial = ++memory->last_serial;
        memory->places[place].len = channel.len;
        memcpy(memory->places[place].text, channel.p, channel.len);
    }
    return (struct channel_mark){place, memory->places[place].serial};
}

enum verdict
verdicts_get(const struct verdicts *verdicts, struct channel_mark mark)
{
    uint64_t cell = verdicts->cells[mark.place];
    if (mark.serial == 0 || cell >> 1 != mark.serial)
        return VERDICT_UNKNOWN;
    return (cell & 1) != 0 ? VERDICT_YES : VERDICT_NO;
}

void
verdicts_set(struct verdicts *verdicts, struct channel_mark mark, enum verdict verdict)
{
    if (mark.serial != 0)
        verdicts->cells[mark.place] = mark.serial << 1 | (verdict == VERDICT_YES);
}
