/* share_with_group.c - group and mode of a database, its -wal and -shm, and its folder; see cmd/share_with_group.h.
 *
 * Only what is missing is changed. What belongs to another group that has rights to it is left
 * alone: whose they are is not ours to judge. */
#include "config.h"

#include "cmd/share_with_group.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_RIGHTS (S_IRGRP | S_IWGRP)
#define FOLDER_RIGHTS (S_ISGID | S_IRWXG)

int
group_find(const char *name, gid_t *gid, struct error *error)
{
    errno = 0;
    const struct group *group = getgrnam(name);
    if (group == NULL)
        return error_set(error, "--group %s: %s", name,
                         errno == 0 ? "there is no such group: create it with groupadd"
                                    : strerror(errno));
    *gid = group->gr_gid;
    return 0;
}

/* The folder of the file itself, behind links. 0, or -1 with errno. */
static int
folder_of(const char *db, char out[PATH_MAX])
{
    char copy[PATH_MAX];
    char *real = realpath(db, out);
    if (real == NULL) { /* not there yet: its folder is */
        if (strlen(db) >= sizeof copy) {
            errno = ENAMETOOLONG;
            return -1;
        }
        strcpy(copy, db);
        return realpath(dirname(copy), out) == NULL ? -1 : 0;
    }
    strcpy(copy, real);
    strcpy(out, dirname(copy));
    return 0;
}

/* Another group has rights here that the rest of the world has not: it would lose them. */
static bool
takes_away(const struct stat *st, gid_t gid)
{
    unsigned group = st->st_mode >> 3 & 7;
    unsigned others = st->st_mode & 7;
    return st->st_gid != gid && (group & ~others) != 0;
}

static int
check_one(const char *path, gid_t gid, struct error *error)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : error_set(error, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0)
        return error_set(error,
                         "--group: %s is a folder for everybody: put the database into one "
                         "of its own",
                         path);
    if (takes_away(&st, gid))
        return error_set(error,
                         "--group: %s belongs to group %ld, which has rights to it that it "
                         "would lose: give that group, or change it first with chgrp",
                         path, (long)st.st_gid);
    return 0;
}

/* Calls fn for the database and what stands beside it. */
typedef int (*file_fn)(const char *path, gid_t gid, struct error *error);
static int
each_file(const char *db, file_fn fn, gid_t gid, struct error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[PATH_MAX];
    char real[PATH_MAX];
    if (realpath(db, real) == NULL)
        return errno == ENOENT ? 0 : error_set(error, "%s: %s", db, strerror(errno));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        int len = snprintf(path, sizeof path, "%s%s", real, suffixes[i]);
        if (len < (int)sizeof path && fn(path, gid, error) != 0)
            return -1;
    }
    return 0;
}

int
group_check(const char *db, gid_t gid, struct error *error)
{
    char folder[PATH_MAX];
    if (folder_of(db, folder) != 0)
        return 0; /* whoever opens the database says what is wrong */
    if (check_one(folder, gid, error) != 0)
        return -1;
    return each_file(db, check_one, gid, error);
}

/* The group first: changing it takes the setgid bit away. */
static int
change(const char *path, gid_t gid, mode_t mode, struct error *error)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    if (st.st_gid == gid && (st.st_mode & 07777) == mode)
        return 0;
    if ((st.st_gid != gid && chown(path, (uid_t)-1, gid) != 0) || chmod(path, mode) != 0)
        return error_set(error,
                         "%s: cannot change its group or mode: %s: only its owner, as a "
                         "member of the group, or root can",
                         path, strerror(errno));
    if (stat(path, &st) != 0 || st.st_gid != gid || (st.st_mode & 07777) != mode)
        return error_set(error, "%s: this file system does not keep group and mode", path);
    printf("%s: group %ld, mode %04o\n", path, (long)gid, (unsigned)mode);
    return 0;
}

static int
share_file(const char *path, gid_t gid, struct error *error)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : error_set(error, "%s: %s", path, strerror(errno));
    return change(path, gid, (st.st_mode & 07777) | FILE_RIGHTS, error);
}

static int
share_new_file(const char *path, gid_t gid, struct error *error)
{
    if (access(path, F_OK) != 0)
        return 0;
    return change(path, gid, S_IRUSR | S_IWUSR | FILE_RIGHTS, error);
}

int
group_share(const char *db, gid_t gid, bool is_new, struct error *error)
{
    char folder[PATH_MAX];
    struct stat st;
    if (folder_of(db, folder) != 0 || stat(folder, &st) != 0)
        return error_set(error, "%s: %s", db, strerror(errno));
    if (change(folder, gid, (st.st_mode & 07777) | FOLDER_RIGHTS, error) != 0)
        return -1;
    return each_file(db, is_new ? share_new_file : share_file, gid, error);
}
