/* presence.c - users and when they were last seen; see push/presence.h. Called by push/next_row.c
 * and, so that the end of a stream is noticed when it happens, each second by push/sender.c. */
#include "config.h"

#include "push/presence.h"

#include <stdlib.h>
#include <string.h>

/* The place of the name, or a free one. room is a power of two and never full. */
static struct presence_user *
place_of(const struct presence *presence, struct slice name, uint64_t hash)
{
    size_t at = (size_t)hash & (presence->room - 1);
    while (presence->users[at].name != NULL &&
           (presence->users[at].hash != hash ||
            !slice_equal(slice_of(presence->users[at].name), name)))
        at = (at + 1) & (presence->room - 1);
    return &presence->users[at];
}

/* Makes the table again, with room for `room` places and without those who are long gone. */
static int
rebuild(struct presence *presence, size_t room, uint64_t now_ms)
{
    struct presence old = *presence;
    presence->users = calloc(room, sizeof *presence->users);
    if (presence->users == NULL) {
        *presence = old;
        return -1;
    }
    presence->room = room;
    presence->count = 0;
    for (size_t i = 0; i < old.room; i++) {
        struct presence_user *user = &old.users[i];
        if (user->name == NULL)
            continue;
        if (user->seen_ms + PRESENCE_GRACE_MS <= now_ms) {
            free(user->name);
            continue;
        }
        *place_of(presence, slice_of(user->name), user->hash) = *user;
        presence->count++;
    }
    free(old.users);
    return 0;
}

struct look {
    struct presence *presence;
    uint64_t now_ms;
    bool failed;
};

static void
see(void *arg, struct slice name)
{
    struct look *look = arg;
    struct presence *presence = look->presence;
    uint64_t hash = hash_add(&presence->key, 0, name);
    if (presence->room < 2 * (presence->count + 1) &&
        rebuild(presence, presence->room == 0 ? 64 : presence->room * 2, look->now_ms) !=
            0) {
        look->failed = true;
        return;
    }
    struct presence_user *user = place_of(presence, name, hash);
    if (user->name == NULL) {
        user->name = strndup(name.p, name.len);
        if (user->name == NULL) {
            look->failed = true;
            return;
        }
        user->hash = hash;
        presence->count++;
    }
    user->seen_ms = look->now_ms;
}

enum store_result
presence_look(struct presence *presence, struct push_table *table, uint64_t now_ms,
              struct error *error)
{
    struct look look = {.presence = presence, .now_ms = now_ms};
    enum store_result result = push_table_present(table, see, &look, error);
    if (result == STORE_OK && look.failed) {
        error_set(error, "out of memory for who is present");
        return STORE_FAILED;
    }
    if (result == STORE_OK) {
        presence->looked_ms = now_ms;
        presence->has_looked = true;
    }
    return result;
}

enum store_result
presence_freshen(struct presence *presence, struct push_table *table, uint64_t now_ms,
                 struct error *error)
{
    if (presence->has_looked && now_ms - presence->looked_ms < PRESENCE_FRESH_MS)
        return STORE_OK;
    return presence_look(presence, table, now_ms, error);
}

enum presence_verdict
presence_judge(const struct presence *presence, const char *name, uint64_t *until_ms)
{
    if (name == NULL || presence->room == 0)
        return PRESENCE_ABSENT;
    struct slice text = slice_of(name);
    const struct presence_user *user =
        place_of(presence, text, hash_add(&presence->key, 0, text));
    if (user->name == NULL)
        return PRESENCE_ABSENT;
    if (user->seen_ms == presence->looked_ms)
        return PRESENCE_THERE;
    *until_ms = user->seen_ms + PRESENCE_GRACE_MS;
    return *until_ms > presence->looked_ms ? PRESENCE_GRACE : PRESENCE_ABSENT;
}

void
presence_fini(struct presence *presence)
{
    for (size_t i = 0; i < presence->room; i++)
        free(presence->users[i].name);
    free(presence->users);
    presence->users = NULL;
    presence->room = presence->count = 0;
}
