/* follow.c - the loop of `rowcast follow`; see follow/follow.h. Called by cmd/follow.c.
 *
 *     connect -> begin -> look, until nothing is left -> wait for NOTIFY, at most a second -> look
 *        ^                  | any failure
 *        +---- back off <---+
 *
 * One thread, one connection at each end. All that it knows is in the file: a follower that was
 * killed goes on from there. */
#include "config.h"

#include "follow/follow.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "follow/internal.h"
#include "follow/stop.h"

#define TICK_MS 1000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define PRUNE_EACH_MS 10000

/* --- results --------------------------------------------------------------------------- */

static void
drop_connection(struct follow *follow)
{
    pg_close(follow->pg);
    follow->pg = NULL;
}

enum follow_result
follow_pg_result(struct follow *follow, enum pg_outcome result)
{
    switch (result) {
    case PG_OK:
        return FOLLOW_OK;
    case PG_LOST:
        return FOLLOW_AGAIN;
    case PG_REFUSED:
        return follow->was_well ? FOLLOW_AGAIN : FOLLOW_HOPELESS;
    case PG_STOPPED:
        break;
    }
    return FOLLOW_STOPPED;
}

enum follow_result
follow_store_result(struct follow *follow, enum store_result result)
{
    if (result == STORE_OK)
        return FOLLOW_OK;
    /* Its files may have been moved or replaced: it is reopened. */
    store_close(follow->store);
    follow->store = NULL;
    return FOLLOW_AGAIN;
}

/* --- trouble --------------------------------------------------------------------------- */

/* Once for each text, so that a server that is away does not fill the log. */
static void
say_trouble(struct follow *follow, const struct error *error)
{
    follow->counts.failures++;
    if (strcmp(error->text, follow->said.text) != 0)
        log_line(follow->settings->log, LOG_ERROR, "%s", error->text);
    follow->said = *error;
}

/* For serve's health and for doctor: the follower is alive, and what its trouble is. A file that
 * cannot be written now says nothing. */
static void
note_trouble(struct follow *follow)
{
    struct error ignored;

    if (follow->store == NULL)
        return;
    snprintf(follow->state.trouble, sizeof follow->state.trouble, "%s", follow->said.text);
    follow->state.alive_at_ms = clock_unix_ms();
    store_follower_note(follow->store, &follow->state, &ignored);
}

static void
say_well(struct follow *follow)
{
    if (follow->said.text[0] != '\0' || !follow->was_well)
        log_line(follow->settings->log, LOG_INFO, "follows %s", pg_name(follow->pg));
    follow->said.text[0] = '\0';
    follow->was_well = true;
}

/* --- the loop -------------------------------------------------------------------------- */

static void
write_metrics(struct follow *follow, int64_t now_ms)
{
    struct error error;

    if (follow->settings->metrics == NULL || now_ms - follow->metrics_at_ms < TICK_MS)
        return;
    follow->metrics_at_ms = now_ms;
    if (follow_write_metrics(follow, &error) != 0)
        log_line(follow->settings->log, LOG_WARN, "%s", error.text);
}

static enum follow_result
prune_when_due(struct follow *follow, struct error *error)
{
    const struct follow_settings *settings = follow->settings;
    int64_t now_ms = clock_unix_ms();

    if ((settings->keep_age_ms == 0 && settings->keep_rows == 0) ||
        now_ms - follow->pruned_at_ms < PRUNE_EACH_MS)
        return FOLLOW_OK;
    follow->pruned_at_ms = now_ms;
    return follow_prune(follow, error);
}

/* Looks until nothing is left, then waits. */
static enum follow_result
follow_turn(struct follow *follow, struct error *error)
{
    bool notified = false;
    enum follow_result result;

    do {
        result = follow_look(follow, error);
        follow->settings->alive();
    } while (result == FOLLOW_OK && !follow->is_complete && !stop_asked());
    if (result == FOLLOW_OK)
        say_well(follow);
    if (result == FOLLOW_OK)
        result = prune_when_due(follow, error);
    write_metrics(follow, clock_unix_ms());
    if (result != FOLLOW_OK || stop_asked())
        return result;
    enum pg_outcome waited = pg_wait(follow->pg, TICK_MS, &notified);
    if (waited == PG_LOST)
        error_set(error, "%s: the server has closed the connection", pg_name(follow->pg));
    return follow_pg_result(follow, waited);
}

/* Until something fails. */
static enum follow_result
follow_session(struct follow *follow, struct error *error)
{
    follow->pg = pg_open(follow->settings->from, error);
    if (follow->pg == NULL)
        return FOLLOW_AGAIN;
    follow->counts.connections++;
    enum follow_result result = follow_begin(follow, error);
    while (result == FOLLOW_OK && !stop_asked())
        result = follow_turn(follow, error);
    return result;
}

static void
rest(struct follow *follow, int ms)
{
    int64_t until_ms = clock_unix_ms() + ms;

    for (int64_t now_ms = clock_unix_ms(); now_ms < until_ms && !stop_asked();
         now_ms = clock_unix_ms()) {
        follow->settings->alive();
        note_trouble(follow);
        write_metrics(follow, now_ms);
        stop_poll(NULL, 0,
                  until_ms - now_ms < TICK_MS ? (int)(until_ms - now_ms) : TICK_MS);
    }
}

static int
follow_until_stopped(struct follow *follow, struct error *error)
{
    int backoff_ms = BACKOFF_FIRST_MS;

    while (!stop_asked()) {
        uint64_t looks = follow->counts.looks;
        enum follow_result result = follow_session(follow, error);
        drop_connection(follow);
        if (stop_asked() || result == FOLLOW_STOPPED)
            return 0;
        if (result == FOLLOW_HOPELESS && !follow->was_well)
            return -1;
        say_trouble(follow, error);
        if (follow->counts.looks > looks + 1) /* it went well for a while */
            backoff_ms = BACKOFF_FIRST_MS;
        rest(follow, backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    return 0;
}

int
follow_run(const struct follow_settings *settings, struct error *error)
{
    struct follow follow = {.settings = settings};

    if (!pg_is_built()) {
        pg_open(settings->from, error);
        return -1;
    }
    stop_catch_signals();
    settings->ready(settings->arg);
    int outcome = follow_until_stopped(&follow, error);
    store_close(follow.store);
    return outcome;
}
