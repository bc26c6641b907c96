/* closing.c - streams are ended and freed in steps, and rows that the window has dropped; see
 * hub/closing.h. hub/hub.c calls it at the end of each turn. */
#include "config.h"

#include "hub/closing.h"

#include "hub/stream.h"

#define CLOSING_NS 2000000 /* 2 ms */
#define CLOSING_STEP 16    /* streams between two looks at the clock */
#define SWEEP_ROWS 16      /* rows of the window that count as one stream */

/* The next stream to end while the program drains. A poll whose reader has not taken the answer
 * comes twice: first it is answered, then it is closed. */
static struct stream *
next_to_end(struct hub *hub)
{
    struct queue_link *link = queue_head(&hub->writable);
    if (link == NULL)
        link = queue_head(&hub->blocked);
    return hub->draining && link != NULL ? queue_item(link, struct stream, by_write) : NULL;
}

/* False: there is nothing to do. */
static bool
close_next(struct hub *hub)
{
    struct queue_link *closed = queue_head(&hub->closed);
    if (closed != NULL) {
        stream_free(queue_item(closed, struct stream, turn));
        return true;
    }
    struct stream *stream = next_to_end(hub);
    if (stream == NULL)
        return window_sweep(hub->window, SWEEP_ROWS);
    stream->kind->end(stream, CLOSE_DRAINED, "restarting");
    return true;
}

bool
closing_run(struct hub *hub)
{
    if (!close_next(hub))
        return true; /* in most calls, without a look at the clock */
    uint64_t until = uv_hrtime() + CLOSING_NS;
    for (int i = 2; close_next(hub); i++)
        if (i % CLOSING_STEP == 0 && uv_hrtime() >= until)
            return false;
    return true;
}
