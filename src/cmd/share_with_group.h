/* share_with_group.h - `rowcast init --group`: the rights with which the members of a group
 * share a database.
 *
 * SQLite gives -wal and -shm the mode of the database; their group is the folder's where that
 * has the setgid bit. So: the file g+rw, the folder g+rwxs, both of the group. Links, and files
 * that have another name elsewhere, are refused: an application may have put them there for
 * root to change. */
#ifndef ROWCAST_CMD_SHARE_WITH_GROUP_H
#define ROWCAST_CMD_SHARE_WITH_GROUP_H

#include <sys/types.h>

#include "base/error.h"

/* The group of that name, or -1 with *error. */
int group_find(const char *name, gid_t *gid, struct error *error);

/* Whether the database, what stands beside it and its folder can be the group's without taking
 * anything away from those who have it now; nothing is changed. The database need not be there yet.
 * Returns 0, or -1 with *error. */
int group_check(const char *db, gid_t gid, struct error *error);

/* Makes it so, and prints a line for each file that was changed. Returns 0, or -1 with *error. */
int group_share(const char *db, gid_t gid, struct error *error);

/* The same for a database that was made just now: others get no right to it. */
int group_share_new(const char *db, gid_t gid, struct error *error);

#endif
