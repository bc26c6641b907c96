/* window_warm.c - the window's first content: the newest rows, as many as fit.
 *
 * After a restart everybody comes back at once, each a little behind: the rows that they miss
 * should be in memory then, not be read once for each of them. */
#include "config.h"

#include "hub/state.h"

/* Tried one after the other, as rows may be of any size. */
static const unsigned prefill_rows[] = {64, 512, 4096, 32768};

struct window_warming {
    struct hub *hub;
    size_t bytes;
    size_t rows;
    size_t want;
    int64_t first;
};

static enum store_step
window_warm_count(void *arg, const struct row *row)
{
    struct window_warming *prefill = arg;
    prefill->first = row->id;
    return ++prefill->rows < prefill->want ? STORE_MORE : STORE_STOP;
}

static enum store_step
window_warm_take(void *arg, const struct row *row)
{
    struct window_warming *prefill = arg;
    prefill->bytes += row->data.len + sizeof(struct entry);
    if (prefill->bytes > prefill->hub->config.window_bytes ||
        window_add(prefill->hub->window, row) != 0)
        return STORE_STOP;
    prefill->rows++;
    return STORE_MORE;
}

/* Fills the window with the newest `want` rows; they may be all that the table has. False when
 * they do not fit, or cannot be read. */
static bool
fill_newest(struct hub *hub, size_t want, bool *is_all)
{
    struct store *store = feed_store(hub->feed);
    struct store_range range = {.after = INT64_MIN, .up_to = hub->tail, .max_rows = want};
    struct store_progress progress;
    struct window_warming prefill = {.hub = hub, .want = want, .first = hub->tail + 1};
    if (store_read_back(store, &range, window_warm_count, &prefill, &progress, NULL) !=
        STORE_OK)
        return false;

    size_t found = prefill.rows;
    *is_all = found < want;
    range.after = prefill.first - 1;
    prefill.rows = 0;
    window_reset(hub->window, *is_all ? INT64_MIN : range.after);
    return store_read_range(store, &range, window_warm_take, &prefill, &progress, NULL) ==
               STORE_OK &&
           prefill.rows >= found;
}

void
window_warm(struct hub *hub)
{
    size_t steps = sizeof prefill_rows / sizeof *prefill_rows;
    size_t step = 0;
    bool is_all = false;
    bool fits = true;
    while (step < steps && !is_all && fits) {
        fits = fill_newest(hub, prefill_rows[step], &is_all);
        step += fits;
    }
    if (fits)
        return;
    if (step == 0 || !fill_newest(hub, prefill_rows[step - 1], &is_all))
        window_reset(hub->window, hub->tail);
}
