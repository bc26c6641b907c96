/* presence.h - `serve --presence`: the view rowcast_presence says who is connected.
 *
 * The loop counts streams (people/here.h), the writer's thread writes what has changed, in
 * batches: at most five transactions a second over all workers, each a few milliseconds long. A
 * lease, renewed every three seconds, makes what a killed process has left disappear. */
#ifndef ROWCAST_PEOPLE_PRESENCE_H
#define ROWCAST_PEOPLE_PRESENCE_H

#include <uv.h>

#include "base/log.h"
#include "hub/hub.h"
#include "publish/writer.h"

#define PRESENCE_NAME_MAX 40

struct presence;

struct presence_config {
    struct hub *hub;
    struct writer *writer; /* not started yet */
    const struct log *log;
    const char *channel; /* of the rows join and leave; NULL: there are none */
    size_t workers;
    uint64_t *users; /* where users that are here are counted; written by the loop */
    /* Outlives the process: the name that its predecessor had, which was killed (empty: there was
     * none), then its own. NULL: there is no such place. */
    char *name;
};

/* Watches the hub's readers, and adds a kind of work to the writer, which must be freed (its thread
 * is then ended) before presence_free. Copies *config. NULL with *error. */
struct presence *presence_new(uv_loop_t *loop, const struct presence_config *config,
                              struct error *error);

/* After the hub. NULL is fine. */
void presence_free(struct presence *presence);

/* Whether the database has what presence needs. 0, or -1 with *error, which says what to do. */
int presence_check(struct store *store, struct error *error);

#endif
