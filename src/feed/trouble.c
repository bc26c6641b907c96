/* trouble.c - what keeps the feed from reading, and how the log and /health report it.
 *
 * There are three kinds: trouble (the last look failed), a doubt (all can be read, and yet rows
 * may not arrive; feed/reopen.c finds it), and a fault (the table has lost what rowcast made). The
 * log gets a line when one changes, not each time it is seen. */
#include "config.h"

#include "feed/internal.h"

#include <string.h>

/* A lock that lasts a moment is no trouble: with a rollback journal every commit is one. */
static bool
feed_is_locked_briefly(const struct feed *feed)
{
    return feed->trouble.text[0] != '\0' && feed->trouble_kind == STORE_BUSY &&
           uv_now(feed->loop) - feed->trouble_since_ms < FEED_BUSY_PATIENCE_MS;
}

/* Says what has changed. */
static void
feed_say_trouble(struct feed *feed)
{
    const char *text = feed->trouble.text;
    if (strcmp(text, feed->said.text) == 0)
        return;
    if (*text == '\0')
        log_line(feed->log, LOG_INFO, "database readable again");
    else if (feed_is_locked_briefly(feed))
        return;
    else
        log_line(feed->log, feed->trouble_kind == STORE_BUSY ? LOG_WARN : LOG_ERROR, "%s",
                 text);
    feed->said = feed->trouble;
}

void
feed_set_trouble(struct feed *feed, enum store_result result, const struct error *error)
{
    if (feed->trouble.text[0] == '\0')
        feed->trouble_since_ms = uv_now(feed->loop);
    feed->trouble_kind = result;
    error_set(&feed->trouble, "%s", result == STORE_OK ? "" : error->text);
    feed_say_trouble(feed);
}

/* Reports what a change of the schema has taken from the table. Rows still arrive, but the health
 * check fails. */
void
feed_tell_fault(struct feed *feed)
{
    const char *fault = store_fault(feed->store);
    if (strcmp(fault != NULL ? fault : "", feed->fault.text) == 0)
        return;
    log_line(feed->log, fault != NULL ? LOG_ERROR : LOG_INFO, "%s",
             fault != NULL ? fault : "the table is whole again");
    error_set(&feed->fault, "%s", fault != NULL ? fault : "");
}

void
feed_report(struct feed *feed, enum store_result result, const struct error *error)
{
    if (result == STORE_FAILED)
        feed->doubtful = true;
    if (result == STORE_FAILED && feed->errors != NULL)
        ++*feed->errors;
    feed_set_trouble(feed, result, error);
}

const char *
feed_trouble(const struct feed *feed)
{
    if (feed->trouble.text[0] != '\0')
        return feed->trouble.text;
    return feed->doubt.text[0] != '\0' ? feed->doubt.text : NULL;
}

const char *
feed_lasting_trouble(const struct feed *feed)
{
    if (feed->trouble.text[0] != '\0' && !feed_is_locked_briefly(feed))
        return feed->trouble.text;
    if (feed->doubt.text[0] != '\0')
        return feed->doubt.text;
    return feed->fault.text[0] != '\0' ? feed->fault.text : NULL;
}

uint64_t
feed_lag_ms(const struct feed *feed)
{
    uint64_t since = feed->behind_since_ms;
    if (feed->trouble.text[0] != '\0' && (since == 0 || feed->trouble_since_ms < since))
        since = feed->trouble_since_ms;
    return since == 0 ? 0 : uv_now(feed->loop) - since;
}

void
feed_count_errors(struct feed *feed, uint64_t *errors)
{
    feed->errors = errors;
}
