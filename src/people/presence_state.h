/* presence_state.h - the struct of presence: which of its two threads has which field.
 *
 * people/presence.c is the loop's side, people/presence_writer.c is the writer thread's side. The
 * loop fills the struct before the thread starts, and frees it after the thread has ended. */
#ifndef ROWCAST_PEOPLE_PRESENCE_STATE_H
#define ROWCAST_PEOPLE_PRESENCE_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "people/here.h"
#include "people/presence.h"

struct presence {
    /* Set before the thread starts; both read them. The loop also counts into config.users, and
     * the thread empties config.name at the end. */
    struct presence_config config;
    struct writer_kind kind;
    uint64_t interval_ms;
    char name[PRESENCE_NAME_MAX];

    /* The loop's. */
    uv_loop_t *loop;
    uv_timer_t timer; /* runs while there are changes */
    int handles;
    struct here *here;

    /* Both threads'. */
    uv_async_t
        wants_all; /* the thread sends it: the loop is to gather every reader again */
    uv_mutex_t mutex;
    struct here_change *batch; /* mutex; the loop gives, the thread takes */
    bool is_anyone_here;       /* mutex */

    /* The writer thread's. */
    char dead[PRESENCE_NAME_MAX]; /* the predecessor; empty: its entries are deleted */
    struct here_change *work;     /* taken, and not committed yet */
    bool has_lease;
    uint64_t next_ns; /* not before: the interval */
    uint64_t renew_ns;
    uint64_t sweep_ns;
    struct error refused; /* as it was last logged */
};

/* Adds the thread's work to the writer, which has not started yet. */
void presence_add_work(struct presence *presence);

/* Whether the thread has not taken the last batch yet. Either thread may call it. */
bool presence_has_batch(struct presence *presence);

/* Frees the changes from this one up to *end, which stays. NULL: all. */
void presence_free_changes(struct here_change *change, const struct here_change *end);

#endif
