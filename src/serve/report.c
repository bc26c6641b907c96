/* report.c - is it well? For monitors and load balancers; see serve/report.h. */
#include "config.h"

#include "serve/report.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* So far behind although PostgreSQL answers: it is filling, or cannot keep up. */
#define BEHIND_MAX_MS 10000

/* What a follower's file lacks. A server that is away is the same for all nodes, so this one is as
 * well as any: readers stay. One that answers while this node lags is a reason to go to another. */
static int
report_follower(const struct feed *feed, struct error *text)
{
    const struct store_follower *follower = feed_follower(feed);
    int64_t now_ms = clock_unix_ms();

    if (follower == NULL)
        return 200;
    int64_t lag_ms = store_follower_lag_ms(follower, now_ms);
    int64_t silence_ms = now_ms - follower->answer_at_ms;
    if (lag_ms == 0)
        return 200;
    if (follower->contact_at_ms == 0)
        error_set(text, "the follower is filling the file: %" PRId64 " ids are left",
                  follower->behind);
    else
        error_set(text,
                  "%sthe follower lags %" PRId64 ".%" PRId64 " s behind PostgreSQL%s%s",
                  silence_ms > BEHIND_MAX_MS || lag_ms < BEHIND_MAX_MS ? "ok, but: " : "",
                  lag_ms / 1000, lag_ms % 1000 / 100,
                  follower->trouble[0] != '\0' ? ": " : "", follower->trouble);
    bool is_behind = follower->contact_at_ms == 0 || lag_ms >= BEHIND_MAX_MS;
    return is_behind && silence_ms <= BEHIND_MAX_MS ? 503 : 200;
}

int
report_health(struct feed *feed, struct writer *writer, struct error *text)
{
    struct error cause = {""};
    feed_probe(feed);
    const char *trouble = feed_lasting_trouble(feed);
    enum writer_health health = writer_health(writer, &cause);
    if (trouble != NULL)
        error_set(text, "%s", trouble);
    else if (health == WRITER_WELL) {
        error_set(text, "ok");
        return report_follower(feed, text);
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
