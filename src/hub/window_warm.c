/* window_warm.c - the window's first content; see hub/window_warm.h. */
#include "config.h"

#include "hub/window_warm.h"

/* Tried one after the other, because rows may be of any size. */
static const unsigned warm_rows[] = {64, 512, 4096, 32768};

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
    struct window_warming *warming = arg;
    warming->first = row->id;
    return ++warming->rows < warming->want ? STORE_MORE : STORE_STOP;
}

static enum store_step
window_warm_take(void *arg, const struct row *row)
{
    struct window_warming *warming = arg;
    warming->bytes += row->data.len + sizeof(struct entry);
    if (warming->bytes > warming->hub->config.window_bytes ||
        window_add(warming->hub->window, row) != 0)
        return STORE_STOP;
    warming->rows++;
    return STORE_MORE;
}

/* Fills the window with the newest `want` rows, which may be all rows. False when they do not fit,
 * or cannot be read. */
static bool
fill_newest(struct hub *hub, size_t want, bool *is_all)
{
    struct store *store = feed_store(hub->feed);
    struct store_progress progress;
    struct window_warming warming = {.hub = hub, .want = want, .first = hub_tail(hub) + 1};
    struct store_range range = {.after = INT64_MIN,
                                .up_to = hub_tail(hub),
                                .max_rows = want,
                                .row = window_warm_count,
                                .arg = &warming};
    if (store_read_back(store, &range, &progress, NULL) != STORE_OK)
        return false;

    size_t found = warming.rows;
    *is_all = found < want;
    range.after = warming.first - 1;
    range.row = window_warm_take;
    warming.rows = 0;
    window_reset(hub->window, *is_all ? INT64_MIN : range.after);
    return store_read_range(store, &range, &progress, NULL) == STORE_OK &&
           warming.rows >= found;
}

void
window_warm(struct hub *hub)
{
    size_t steps = sizeof warm_rows / sizeof *warm_rows;
    size_t step = 0;
    bool is_all = false;
    bool fits = true;
    while (step < steps && !is_all && fits) {
        fits = fill_newest(hub, warm_rows[step], &is_all);
        step += fits;
    }
    if (fits)
        return;
    if (step == 0 || !fill_newest(hub, warm_rows[step - 1], &is_all))
        window_reset(hub->window, hub_tail(hub));
}
