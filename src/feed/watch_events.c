/* watch_events.c - inotify on a folder; see feed/watch_events.h. feed/watch.c owns one.
 *
 * On other systems than Linux it uses uv_fs_event, whose callback here only notes the event:
 * feed/watch.c looks at the table from a timer. */
#include "config.h"

#include "feed/watch_events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYS_INOTIFY_H

#include <sys/inotify.h>

#define NEWS_WRITTEN (IN_MODIFY)
#define NEWS_NAMES                                                                         \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | \
     IN_UNMOUNT)
#define READ_BYTES 16384

struct watch_events {
    uv_poll_t poll;
    int fd;
    int watched; /* inotify's number of the folder; -1: none */
    char *name;
    watch_events_fn note;
    void *arg;
};

/* What one event says. Its name is that of the file within the folder; events of the folder
 * itself, and IN_Q_OVERFLOW, have none. */
static unsigned
read_event(struct watch_events *events, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        return FOLDER_WRITTEN | FOLDER_NAMES;
    if (event->wd != events->watched)
        return 0; /* an event of a folder that was watched before */
    if (event->mask & IN_IGNORED) {
        events->watched = -1; /* the folder is gone, and the kernel has ended the watch */
        return FOLDER_NAMES;
    }
    if (event->len > 0 && strncmp(event->name, events->name, strlen(events->name)) != 0)
        return 0;
    return (event->mask & NEWS_WRITTEN ? FOLDER_WRITTEN : 0) |
           (event->mask & NEWS_NAMES ? FOLDER_NAMES : 0);
}

/* One read for each turn: later events, also those that the look at the table causes, come in the
 * next turn. */
static void
on_readable(uv_poll_t *poll, int status, int readable)
{
    struct watch_events *events = poll->data;
    _Alignas(struct inotify_event) char bytes[READ_BYTES];
    unsigned news = 0;
    (void)readable;
    ssize_t len = status == 0 ? read(events->fd, bytes, sizeof bytes) : 0;
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *event = (const void *)(bytes + at);
        news |= read_event(events, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
    if (news != 0)
        events->note(events->arg, news);
}

struct watch_events *
watch_events_new(uv_loop_t *loop, watch_events_fn note, void *arg)
{
    struct watch_events *events = calloc(1, sizeof *events);
    if (events == NULL)
        return NULL;
    *events = (struct watch_events){.watched = -1, .note = note, .arg = arg};
    events->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (events->fd >= 0 && uv_poll_init(loop, &events->poll, events->fd) == 0) {
        events->poll.data = events;
        uv_poll_start(&events->poll, UV_READABLE, on_readable);
        return events;
    }
    if (events->fd >= 0)
        close(events->fd);
    free(events);
    return NULL;
}

bool
watch_events_start(struct watch_events *events, const char *folder, const char *name)
{
    char *copy = strdup(name);
    watch_events_stop(events);
    if (copy == NULL)
        return false;
    free(events->name);
    events->name = copy;
    events->watched =
        inotify_add_watch(events->fd, folder, NEWS_WRITTEN | NEWS_NAMES | IN_ONLYDIR);
    return events->watched >= 0;
}

void
watch_events_stop(struct watch_events *events)
{
    if (events->watched >= 0)
        inotify_rm_watch(events->fd, events->watched);
    events->watched = -1;
}

bool
watch_events_are_on(const struct watch_events *events)
{
    return events->watched >= 0;
}

static void
on_closed(uv_handle_t *handle)
{
    struct watch_events *events = handle->data;
    close(events->fd);
    free(events->name);
    free(events);
}

void
watch_events_free(struct watch_events *events)
{
    if (events != NULL)
        uv_close((uv_handle_t *)&events->poll, on_closed);
}

#else

struct watch_events {
    uv_fs_event_t handle;
    char *name;
    watch_events_fn note;
    void *arg;
    bool is_on;
};

static void
on_event(uv_fs_event_t *handle, const char *name, int kinds, int status)
{
    struct watch_events *events = handle->data;
    if (status == 0 && name != NULL && strncmp(name, events->name, strlen(events->name)))
        return;
    events->note(events->arg, kinds & UV_RENAME ? FOLDER_NAMES : FOLDER_WRITTEN);
}

struct watch_events *
watch_events_new(uv_loop_t *loop, watch_events_fn note, void *arg)
{
    struct watch_events *events = calloc(1, sizeof *events);
    if (events == NULL)
        return NULL;
    uv_fs_event_init(loop, &events->handle);
    events->handle.data = events;
    events->note = note;
    events->arg = arg;
    return events;
}

bool
watch_events_start(struct watch_events *events, const char *folder, const char *name)
{
    char *copy = strdup(name);
    watch_events_stop(events);
    if (copy == NULL)
        return false;
    free(events->name);
    events->name = copy;
    events->is_on = uv_fs_event_start(&events->handle, on_event, folder, 0) == 0;
    return events->is_on;
}

void
watch_events_stop(struct watch_events *events)
{
    uv_fs_event_stop(&events->handle);
    events->is_on = false;
}

bool
watch_events_are_on(const struct watch_events *events)
{
    return events->is_on;
}

static void
on_closed(uv_handle_t *handle)
{
    struct watch_events *events = handle->data;
    free(events->name);
    free(events);
}

void
watch_events_free(struct watch_events *events)
{
    if (events != NULL)
        uv_close((uv_handle_t *)&events->handle, on_closed);
}

#endif
