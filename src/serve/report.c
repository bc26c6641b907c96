/* report.c - is it well? For monitors and load balancers; see serve/report.h. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* So far behind although PostgreSQL answers: it cannot keep up. */
#define BEHIND_MAX_MS 10000

/* --- what a follower's file lacks ------------------------------------------------------ */

struct lack {
    int64_t lag_ms;     /* rows may have been missing for so long */
    int64_t silence_ms; /* since PostgreSQL answered the follower */
    int64_t dead_ms;    /* since the follower gave a sign of life */
    bool is_filling;    /* it has never had everything */
    int64_t max_lag_ms; /* what the administrator allows; 0: everything */
};

static struct lack
measure_lack(const struct store_follower *follower, int64_t max_lag_ms)
{
    int64_t now_ms = clock_unix_ms();

    return (struct lack){.lag_ms = store_follower_lag_ms(follower, now_ms),
                         .silence_ms = now_ms - follower->answer_at_ms,
                         .dead_ms = now_ms - follower->alive_at_ms,
                         .is_filling = follower->contact_at_ms == 0,
                         .max_lag_ms = max_lag_ms};
}

/* Other nodes are better off: a load balancer should choose them. Where PostgreSQL is away they are
 * not, so this one is as well as any and its readers stay, unless the administrator has set a
 * bound. */
static bool
is_unfit(const struct lack *lack)
{
    if (lack->is_filling || lack->dead_ms > STORE_FOLLOWER_ALIVE_MS)
        return true;
    if (lack->max_lag_ms > 0 && lack->lag_ms >= lack->max_lag_ms)
        return true;
    return lack->lag_ms >= BEHIND_MAX_MS && lack->silence_ms <= BEHIND_MAX_MS;
}

static int
report_follower(const struct feed *feed, int64_t max_lag_ms, struct error *text)
{
    const struct store_follower *follower = feed_follower(feed);
    if (follower == NULL)
        return 200;
    const struct lack lack = measure_lack(follower, max_lag_ms);
    if (lack.lag_ms == 0)
        return 200;
    int status = is_unfit(&lack) ? 503 : 200;
    if (lack.is_filling)
        error_set(text, "the follower is filling the file: %" PRId64 " ids are left",
                  follower->behind);
    else if (lack.dead_ms > STORE_FOLLOWER_ALIVE_MS)
        error_set(text,
                  "no follower has written into the file for %" PRId64
                  " s: start `rowcast follow` (systemctl start rowcast-follow)",
                  lack.dead_ms / 1000);
    else
        error_set(
            text, "%sthe follower lags %" PRId64 ".%" PRId64 " s behind PostgreSQL%s%s",
            status == 200 ? "ok, but: " : "", lack.lag_ms / 1000, lack.lag_ms % 1000 / 100,
            follower->trouble[0] != '\0' ? ": " : "", follower->trouble);
    return status;
}

/* --- all of it ------------------------------------------------------------------------- */

int
report_health(struct feed *feed, struct writer *writer, int64_t max_lag_ms,
              struct error *text)
{
    struct error cause = {""};
    feed_probe(feed);
    const char *trouble = feed_lasting_trouble(feed);
    enum writer_health health = writer_health(writer, &cause);
    if (trouble != NULL)
        error_set(text, "%s", trouble);
    else if (health == WRITER_WELL) {
        error_set(text, "ok");
        return report_follower(feed, max_lag_ms, text);
    } else
        error_set(text, "%s%s", health == WRITER_LIMPS ? "ok, but: " : "", cause.text);
    return trouble == NULL && health != WRITER_FAILS ? 200 : 503;
}

/* Up to what ends a path in a sentence. */
static size_t
path_len(const char *path)
{
    return strcspn(path, " :,;()`'\"");
}

void
report_hide_folders(struct error *text)
{
    char *to = text->text;
    for (const char *p = text->text; *p != '\0';) {
        size_t len = path_len(p);
        const char *name = len == 0 ? NULL : memrchr(p, '/', len);
        const char *from = name == NULL ? p : name + 1;
        size_t rest = len == 0 ? 1 : len - (size_t)(from - p);
        memmove(to, from, rest);
        to += rest;
        p = from + rest;
    }
    *to = '\0';
}
