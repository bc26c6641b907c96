/* presence.h - who is there, for subscriptions that want messages only while their user is not. */
#ifndef ROWCAST_PUSH_PRESENCE_H
#define ROWCAST_PUSH_PRESENCE_H

#include <stdint.h>

#include "base/hash.h"
#include "push/table.h"

/* A stream that has ended may be a page that is loaded again: for so long its user still counts as
 * there, and what comes meanwhile waits. The 5 s of a row `leave`, and one for the look that
 * last saw the user. */
#define PRESENCE_GRACE_MS 6000
/* That a stream has ended comes to the table a little later. So a row is left to the stream only
 * when its user is still there so long after it was read. */
#define PRESENCE_HOLD_MS 1500
/* How old the look may be that a decision goes by, if it was made since the row was read. */
#define PRESENCE_FRESH_MS 250

struct presence_user {
    char *name; /* NULL: a free place */
    uint64_t hash;
    uint64_t seen_ms; /* when the user was last seen with a stream */
};

struct presence {
    struct presence_user *users; /* an open table */
    size_t room, count;
    uint64_t looked_ms;
    bool has_looked;
    struct hash_key key;
};

enum presence_verdict { PRESENCE_THERE, PRESENCE_GRACE, PRESENCE_ABSENT };

/* Looks who is there. now_ms: the loop's clock. */
enum store_result presence_look(struct presence *presence, struct push_table *table,
                                uint64_t now_ms, struct error *error);

/* The same, unless that was done within PRESENCE_FRESH_MS. */
enum store_result presence_freshen(struct presence *presence, struct push_table *table,
                                   uint64_t now_ms, struct error *error);

/* *until_ms: the end of the grace, with PRESENCE_GRACE. NULL is nobody, who is never there. */
enum presence_verdict presence_judge(const struct presence *presence, const char *user,
                                     uint64_t *until_ms);

void presence_fini(struct presence *presence);

#endif
