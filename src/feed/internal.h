/* internal.h - the feed's state, and the functions of its three files that the others call. */
#ifndef FEED_INTERNAL_H
#define FEED_INTERNAL_H

#include "feed/feed.h"

#include "feed/watch.h"
#include "store/strangers.h"
#include "store/read_log.h"

/* A database that cannot be opened is tried again this often at the most, and by each tick. */
#define OPEN_AGAIN_MS 20

struct feed {
    uv_loop_t *loop;
    struct store_config config;
    const struct log *log;
    struct store *store; /* NULL while it cannot be opened */
    struct store_gate *gate;
    uv_async_t gate_changed; /* by the writer's thread */
    bool has_async;
    struct watch *watch;
    struct feed_handlers handlers;
    void *arg;
    struct store_marks marks;
    struct store_follower follower; /* where is_follower */
    bool is_follower;
    int64_t
        own_schema; /* the schema with which the table was no follower's; -1: not looked yet */
    struct store_cursor cursor; /* rows up to it were handed out */
    bool more;                  /* the last look stopped at its page's end */
    bool in_look;               /* handlers must not start another look */
    bool doubtful;              /* a read failed, or SIGHUP: reopen at the next tick */
    struct error fault;         /* store_fault as it was last reported */
    struct error trouble;       /* text empty: none */
    enum store_result trouble_kind;
    uint64_t trouble_since_ms;
    struct error said;  /* the trouble that the log has; text empty: none */
    struct error doubt; /* why rows may not arrive though all can be read; empty: nothing */
    uint64_t strangers_looked_ms;
    unsigned strangers; /* looks that saw one; see feed_look_for_strangers */
    struct store_device device;
    uint64_t tried_ms;  /* when it was last tried to open it */
    uint64_t closed_ms; /* when it was closed to be reopened */
    feed_lost_fn lost;  /* NULL: not confined */
    void *lost_arg;
    struct store_folders folders; /* the folders that the sandbox allows */
    uint64_t behind_since_ms;     /* 0: all is handed out */
    uint64_t *errors;             /* counts failed reads, or NULL */
    feed_changed_fn changed;      /* NULL: none */
    void *changed_arg;
    uint64_t openings;
};

/* --- feed/trouble.c ------------------------------------------------------------------ */

/* What the last attempt to read or open came to; the log gets a line when that changes. */
void feed_set_trouble(struct feed *feed, enum store_result result,
                      const struct error *error);

/* Writes to the log what the table has lost or got back, by store_fault. */
void feed_tell_fault(struct feed *feed);

/* --- feed/reopen.c ------------------------------------------------------------------- */

/* Before anything is served: looks for processes that have other files open. May wait 300 ms. */
void feed_watch_strangers(struct feed *feed);

/* Sets feed->doubt, and forbids writing while there is one. */
void feed_check_doubt(struct feed *feed);

/* Whether the files are still those that are open; closes and opens the database where not. */
void feed_check_files(struct feed *feed);

/* Whether feed_check_files is wanted between ticks: the files are away, or another connection has
 * to be closed first. */
bool feed_is_due(const struct feed *feed);

#endif
