/* recent.c - the newest rows; see push/recent.h. Called by push/sender.c. */
#include "config.h"

#include "push/recent.h"

#include <stdlib.h>
#include <string.h>

static void
drop_oldest(struct recent *recent, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        recent->bytes -= recent->rows[i].len;
        recent->after = recent->rows[i].row.id;
        free(recent->rows[i].bytes);
    }
    recent->count -= count;
    memmove(recent->rows, recent->rows + count, recent->count * sizeof *recent->rows);
}

void
recent_fini(struct recent *recent)
{
    drop_oldest(recent, recent->count);
}

void
recent_reset(struct recent *recent, int64_t after)
{
    drop_oldest(recent, recent->count);
    recent->after = after;
}

/* Moves the slice's bytes to *to. */
static struct slice
copy_slice(char **to, struct slice from)
{
    if (from.p == NULL)
        return from;
    char *at = *to;
    if (from.len > 0)
        memcpy(at, from.p, from.len);
    *to += from.len;
    return (struct slice){at, from.len};
}

static bool
copy_row(struct recent_row *copy, const struct row *row)
{
    copy->len = row->channel.len + row->recipient.len + row->event.len + row->data.len +
                row->collapse_key.len;
    copy->bytes = malloc(copy->len + 1);
    if (copy->bytes == NULL)
        return false;
    char *to = copy->bytes;
    copy->row = *row;
    copy->row.channel = copy_slice(&to, row->channel);
    copy->row.recipient = copy_slice(&to, row->recipient);
    copy->row.event = copy_slice(&to, row->event);
    copy->row.data = copy_slice(&to, row->data);
    copy->row.collapse_key = copy_slice(&to, row->collapse_key);
    copy->is_replaced = false;
    return true;
}

/* The newest older row of the key; those before it are marked already. */
static void
mark_replaced(struct recent *recent, const struct row *row)
{
    if (row->collapse_key.p == NULL)
        return;
    for (size_t i = recent->count; i-- > 0;) {
        const struct row *older = &recent->rows[i].row;
        if (!slice_equal(older->collapse_key, row->collapse_key) ||
            !slice_equal(older->channel, row->channel) ||
            !slice_equal(older->recipient, row->recipient))
            continue;
        recent->rows[i].is_replaced = true;
        return;
    }
}

void
recent_append(struct recent *recent, const struct row *row)
{
    if (recent->count == RECENT_ROWS_MAX || recent->bytes > RECENT_BYTES_MAX)
        drop_oldest(recent, recent->count / 2 + 1);
    mark_replaced(recent, row);
    struct recent_row *copy = &recent->rows[recent->count];
    if (!copy_row(copy, row)) {
        recent_reset(recent, row->id);
        return;
    }
    recent->count++;
    recent->bytes += copy->len;
}

size_t
recent_find(const struct recent *recent, int64_t after)
{
    size_t low = 0, high = recent->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (recent->rows[middle].row.id <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
