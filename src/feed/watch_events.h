/* watch_events.h - file events of one folder, for the files whose names begin with a given one.
 *
 * On Linux by inotify itself and not by uv_fs_event, for two reasons. libuv asks for IN_ATTRIB too,
 * which SQLite causes by itself: as root it gives the journal to the database's owner (fchown) each
 * time it opens it, so that a look at the table would be news of its own. And libuv reads until
 * nothing is left, so that a callback that causes an event never returns. Here one read(2) is done
 * for each turn of the loop. */
#ifndef ROWCAST_FEED_WATCH_EVENTS_H
#define ROWCAST_FEED_WATCH_EVENTS_H

#include <stdbool.h>
#include <uv.h>

enum folder_news {
    FOLDER_WRITTEN = 1, /* a file was written to */
    FOLDER_NAMES = 2    /* a file came, went or changed its name, or so did the folder */
};

struct watch_events;

/* Called at most once for each turn of the loop; news: an or of enum folder_news. It may cause
 * further events: they come in the next turn. */
typedef void (*watch_events_fn)(void *arg, unsigned news);

/* Watches nothing yet. NULL when memory or descriptors are out. */
struct watch_events *watch_events_new(uv_loop_t *loop, watch_events_fn note, void *arg);

/* Watches `folder` instead of what it watched, for names that begin with `name`; both are copied.
 * False: it cannot be watched (not there, no rights, no inotify watches left), and nothing is. */
bool watch_events_start(struct watch_events *events, const char *folder, const char *name);
void watch_events_stop(struct watch_events *events);

/* False when nothing is watched: also after the folder was removed. */
bool watch_events_are_on(const struct watch_events *events);

/* Memory is freed when the loop has run the close callback. NULL is harmless. */
void watch_events_free(struct watch_events *events);

#endif
