/* sender.h - `rowcast push`: tails the log like any reader, and sends each row to the subscriptions
 * that it is for.
 *
 * A subscription is a cursor with an endpoint. The cursor passes a row when the push service has
 * taken the message, when the row is not for it, or has expired; never for another reason. So
 * whatever fails (the service, the network, this process), the row is sent later. What was taken
 * but not yet noted when the process was killed is sent twice; the browser shows it once. */
#ifndef ROWCAST_PUSH_SENDER_H
#define ROWCAST_PUSH_SENDER_H

#include <uv.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text_list.h"
#include "feed/watch.h"
#include "push/vapid.h"

struct sender;

struct sender_config {
    const char *path;
    const char *table;
    const struct text_list *hosts; /* --push-host */
    const struct vapid_keys *keys;
    const char *subject;
    const char *ca_file; /* NULL: the system's authorities */
    int64_t most_open;   /* requests at once */
    const struct log *log;
};

/* All that config points to must outlive it. NULL with *error. */
struct sender *sender_new(uv_loop_t *loop, const struct sender_config *config,
                          struct error *error);

/* Opens the database, to fail now rather than later. Returns 0, or -1 with *error. */
int sender_open(struct sender *sender, struct error *error);

/* Looks at the database and sends what there is: a watch_fn whose arg is the sender. */
bool sender_look(void *arg, enum watch_reason reason);

/* Since the start. */
struct sender_counts {
    uint64_t sent, failed, ended;
    int64_t subscriptions; /* the rest is of now */
    int64_t queued;        /* the next row is being sent, or is looked for */
    int64_t waiting;       /* after a failure */
};
struct sender_counts sender_count(const struct sender *sender);

/* Notes what is known, ends what is under way (it is sent again) and closes the database. The
 * loop must run once more for its handles. NULL is harmless. */
void sender_free(struct sender *sender);

#endif
