/* revocations.c - a table from users to the time before which all is over; see revocations.h. */
#include "config.h"

#include "access/revocations.h"

#include <stdlib.h>

#include "base/string_map.h"

struct revocations {
    struct string_map users; /* items: a struct times */
};

struct times {
    int64_t tickets_ms;
    int64_t logins_ms;
};

struct revocations *
revocations_new(struct error *error)
{
    struct hash_key key;
    struct revocations *revocations;
    if (hash_key_make(&key, error) != 0)
        return NULL;
    revocations = calloc(1, sizeof *revocations);
    if (revocations == NULL)
        error_set(error, "out of memory");
    else
        string_map_init(&revocations->users, &key);
    return revocations;
}

void
revocations_free(struct revocations *revocations)
{
    if (revocations == NULL)
        return;
    string_map_fini(&revocations->users);
    free(revocations);
}

/* The user's entry, with its times; NULL when out of memory. */
static struct times *
times_of(struct revocations *revocations, struct slice user)
{
    struct string_map_entry *entry = string_map_get(&revocations->users, user);
    if (entry == NULL)
        return NULL;
    if (entry->items == NULL)
        entry->items = calloc(1, sizeof(struct times));
    return entry->items;
}

int
revocations_add(struct revocations *revocations, struct slice user, int64_t before_ms,
                int64_t seen_ms)
{
    struct times *times = times_of(revocations, user);
    int64_t logins_ms = before_ms < seen_ms ? before_ms : seen_ms;
    if (times == NULL)
        return -1;
    if (times->tickets_ms < before_ms)
        times->tickets_ms = before_ms;
    if (times->logins_ms < logins_ms)
        times->logins_ms = logins_ms;
    return 0;
}

bool
revocations_have(const struct revocations *revocations, const char *user,
                 enum revocations_proof proof, int64_t since_ms)
{
    if (revocations == NULL || user == NULL || revocations->users.count == 0)
        return false;
    const struct string_map_entry *entry =
        string_map_find(&revocations->users, slice_of(user));
    if (entry == NULL || entry->items == NULL)
        return false;
    const struct times *times = entry->items;
    return since_ms < (proof == REVOCATIONS_TICKET ? times->tickets_ms : times->logins_ms);
}
