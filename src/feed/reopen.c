/* reopen.c - are the open files those at the path, and do all rows arrive through them?
 *
 * feed/feed.c asks once a second, and when a file in the folder came or went. If the open files
 * are not those at the path, the gate (store/gate.h) is shut, and the database is reopened once
 * the last connection of the process is closed. */
#include "config.h"

#include "feed/internal.h"

#include <string.h>

/* Before the start, when it may wait: a CGI process may not live until the looks after it. */
#define STRANGERS_FIRST_LOOKS 10
#define STRANGERS_FIRST_MISSES 2
#define STRANGERS_FIRST_MS 30

/* How often the feed looks which other processes have the database open, and in how many looks in
 * a row a stranger must be seen: a process that is just opening the database looks like one. */
#define STRANGERS_LOOK_MS 900
#define STRANGERS_LOOKS 2

/* For so long other processes that had the old files open may take to close them. */
#define STRANGERS_LEAVE_MS 1500

/* --- reopening ------------------------------------------------------------------------ */

static void
feed_close(struct feed *feed)
{
    store_gate_shut(feed->gate);
    store_close(feed->store);
    feed->store = NULL;
    feed->closed_ms = uv_now(feed->loop);
    watch_nudge(feed->watch); /* the writer and other processes close theirs in a moment */
}

/* The sandbox allows another folder than the one at the path now, and nothing else is in the
 * way. */
static bool
feed_is_lost(const struct feed *feed)
{
    struct error ignored;
    return feed->lost != NULL && !store_folders_have(&feed->folders, feed->config.path) &&
           !store_diagnose_rights(feed->config.path, STORE_READ, &ignored);
}

static void
feed_fail_open(struct feed *feed, enum store_result result, struct error *error)
{
    if (result == STORE_FAILED && feed_is_lost(feed)) {
        error_set(
            error,
            "the folder of %s was replaced, and the sandbox allows only the one that was "
            "there at the start: rowcast must be started again",
            feed->config.path);
        feed->lost(feed->lost_arg, error);
    }
    feed_set_trouble(feed, result, error);
}

/* STORE_OK when no process has the old files open any more; such a process would damage the new
 * ones. */
static enum store_result
feed_check_others(const struct feed *feed, struct error *error)
{
    if (!store_gate_is_clear(feed->gate)) {
        error_set(error, "%s is reopened when the thread that writes has closed it",
                  feed->config.path);
        return STORE_BUSY;
    }
    if (!store_path_has_strangers(feed->config.path, &feed->device, error))
        return STORE_OK;
    return uv_now(feed->loop) - feed->closed_ms < STRANGERS_LEAVE_MS ? STORE_BUSY
                                                                     : STORE_FAILED;
}

/* Opens what is at the path now. The streams get a gap event only if it is not the same history. */
static void
feed_open(struct feed *feed)
{
    struct error error = {""};
    bool busy = false;
    enum store_result result = feed_check_others(feed, &error);
    if (result == STORE_OK) {
        feed->store = store_open(&feed->config, &busy, &error);
        result = busy ? STORE_BUSY : STORE_FAILED;
    }
    feed->tried_ms = uv_now(feed->loop);
    if (feed->store == NULL) {
        feed_fail_open(feed, result, &error);
        return;
    }
    feed->doubtful = false;
    feed->more = true; /* store_changed knows nothing of the new connection yet */
    feed->openings++;
    watch_follow(feed->watch, feed->config.path);
    store_gate_open(feed->gate, store_opened_files(feed->store));
    log_line(feed->log, LOG_INFO, "database reopened");
}

/* --- doubts: all can be read, and yet rows may not arrive ---------------------------- */

/* Each look that sees a stranger adds one, up to one more than are needed. Each look that sees
 * none takes one away, because the kernel's list may lack a line. */
static void
feed_look_for_strangers(struct feed *feed, struct error *error)
{
    if (store_has_strangers(feed->store, &feed->device, error))
        feed->strangers += feed->strangers <= STRANGERS_LOOKS ? 1 : 0;
    else
        feed->strangers -= feed->strangers > 0 ? 1 : 0;
}

static bool
feed_has_strangers(struct feed *feed, struct error *error)
{
    uint64_t now = uv_now(feed->loop);
    if (feed->store != NULL && now - feed->strangers_looked_ms >= STRANGERS_LOOK_MS) {
        feed->strangers_looked_ms = now;
        feed_look_for_strangers(feed, error);
    }
    if (feed->strangers >= STRANGERS_LOOKS && error->text[0] == '\0')
        *error = feed->doubt; /* as it was last seen */
    return feed->strangers >= STRANGERS_LOOKS;
}

void
feed_check_doubt(struct feed *feed)
{
    struct error error = {""};
    bool had_strangers = feed->strangers >= STRANGERS_LOOKS;
    bool is_doubtful = store_files_have_two_names(feed->config.path, &error) ||
                       store_files_are_a_copy(feed->config.path, &error) ||
                       feed_has_strangers(feed, &error);
    if (!is_doubtful)
        error.text[0] = '\0';
    if (strcmp(error.text, feed->doubt.text) == 0)
        return;
    if (is_doubtful)
        log_line(feed->log, LOG_ERROR, "%s", error.text);
    else
        log_line(feed->log, LOG_INFO, "%s is in order again", feed->config.path);
    feed->doubt = error;
    /* A stranger has left: what it has committed is in the WAL, but not in the -shm. It is found
     * when all is open again, and must not be written over before. */
    if (had_strangers && feed->strangers < STRANGERS_LOOKS && feed->store != NULL)
        feed_close(feed);
    store_gate_forbid(feed->gate, is_doubtful ? &error : NULL);
}

/* A stranger that stays is reported by the next look. */
void
feed_watch_strangers(struct feed *feed)
{
    struct error error = {""};
    int misses = 0;
    if (!store_has_strangers(feed->store, &feed->device, &error))
        return;
    for (int i = 1; i < STRANGERS_FIRST_LOOKS; i++) {
        uv_sleep(STRANGERS_FIRST_MS);
        if (!store_has_strangers(feed->store, &feed->device, &error) &&
            ++misses > STRANGERS_FIRST_MISSES)
            return;
    }
    feed->strangers = STRANGERS_LOOKS;
}

static void
feed_check_wal(struct feed *feed)
{
    struct error error = {""};
    enum store_result result = store_check_wal(feed->store, &error);
    if (result == STORE_FAILED)
        feed_report(feed, result, &error);
}

void
feed_check_files(struct feed *feed)
{
    if (feed->in_look)
        return;
    if (feed->store != NULL &&
        (feed->doubtful || store_gate_is_shut(feed->gate) || store_has_moved(feed->store)))
        feed_close(feed);
    if (feed->store == NULL)
        feed_open(feed);
    else
        feed_check_wal(feed);
    feed_check_doubt(feed);
}

bool
feed_is_due(const struct feed *feed)
{
    return feed->store == NULL && uv_now(feed->loop) - feed->tried_ms >= OPEN_AGAIN_MS;
}
