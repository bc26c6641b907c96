/* share_with_group.c - group and mode of a database, its -wal and -shm, and its folder; see
 * cmd/share_with_group.h.
 *
 * Mostly run by root in a folder that an application may write, which could have put a link
 * there in place of a file or folder. So nothing is reached by its path: the folder is opened
 * step by step, and its files from there, never through a link that is not ours or root's; each
 * is changed by the descriptor that was looked at. Only what is missing is changed. What
 * belongs to another group that has rights to it is left alone: whose they are is not ours to
 * judge. */
#include "config.h"

#include "cmd/share_with_group.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_RIGHTS (S_IRGRP | S_IWGRP)
#define FOLDER_RIGHTS (S_ISGID | S_IRWXG)
#define LINKS_MAX 20 /* on the way; a circle has more */

/* The folder, and the name of the database in it. */
struct place {
    int fd;
    char folder[PATH_MAX]; /* as it was given, for messages */
    char name[NAME_MAX + 1];
};

/* A file, or the folder itself, that was looked at. */
struct item {
    int fd;
    struct stat st;
    char path[PATH_MAX + NAME_MAX + 2]; /* for messages */
};

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

/* --- the way to the folder --------------------------------------------------------------- */

/* What is still to be walked, and where one is. */
struct walk {
    int fd;
    int links;
    char rest[PATH_MAX];
};

static int
fail_way(const struct place *place, const char *why, struct error *error)
{
    return error_set(error, "--group: the folder %s: %s", place->folder, why);
}

/* Cuts the next name off; false: there is none. */
static bool
walk_take_name(struct walk *walk, char name[NAME_MAX + 1])
{
    const char *p = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(p, "/");
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name, p, len);
    name[len] = '\0';
    memmove(walk->rest, p + len, strlen(p + len) + 1);
    return true;
}

static void
walk_to(struct walk *walk, int fd)
{
    close(walk->fd);
    walk->fd = fd;
}

/* Puts a link's target before the rest of the way. Returns NULL, or what is wrong. */
static const char *
walk_follow(struct walk *walk, int link, const struct stat *st)
{
    char target[PATH_MAX];
    char way[2 * PATH_MAX];
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "a link on the way belongs to another user, who could turn it elsewhere: "
               "give "
               "the path without it";
    ssize_t len = readlinkat(link, "", target, sizeof target - 1);
    if (len <= 0 || ++walk->links > LINKS_MAX)
        return strerror(ELOOP);
    target[len] = '\0';
    if (snprintf(way, sizeof way, "%s/%s", target, walk->rest) >= PATH_MAX)
        return strerror(ENAMETOOLONG);
    strcpy(walk->rest, way);
    if (target[0] == '/')
        walk_to(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return NULL;
}

static const char *
walk_step(struct walk *walk, const char *name)
{
    struct stat st;
    int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISLNK(st.st_mode)) {
        walk_to(walk, fd);
        return NULL;
    }
    const char *wrong = walk_follow(walk, fd, &st);
    close(fd);
    return wrong;
}

static int
place_open(struct place *place, const char *db, struct error *error)
{
    struct walk walk = {.fd = -1};
    char copy[PATH_MAX];
    char name[NAME_MAX + 1];
    const char *wrong = NULL;
    *place = (struct place){.fd = -1};
    if (strlen(db) >= sizeof copy || strlen(basename(strcpy(copy, db))) > NAME_MAX)
        return error_set(error, "%s: %s", db, strerror(ENAMETOOLONG));
    strcpy(place->name, basename(copy));
    strcpy(place->folder, dirname(strcpy(copy, db)));
    strcpy(walk.rest, place->folder);
    walk.fd = open(db[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (wrong == NULL && walk_take_name(&walk, name))
        wrong = walk_step(&walk, name);
    /* What O_PATH has opened can be looked at, not changed. */
    if (wrong == NULL) {
        place->fd = openat(walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        wrong = place->fd < 0 ? strerror(errno) : NULL;
    }
    close(walk.fd);
    return wrong == NULL ? 0 : fail_way(place, wrong, error);
}

/* --- files ------------------------------------------------------------------------------- */

enum item_result { ITEM_OPEN, ITEM_NOT_THERE, ITEM_REFUSED };

static enum item_result
refuse(const struct item *item, const char *why, struct error *error)
{
    error_set(error, "--group: %s %s", item->path, why);
    return ITEM_REFUSED;
}

/* A file of root's beside a database that is another user's was not made by SQLite, which gives
 * what it makes as root to the database's owner. */
static enum item_result
item_judge(const struct item *item, const struct stat *db, struct error *error)
{
    if (!S_ISREG(item->st.st_mode))
        return refuse(item, "is not a regular file", error);
    if (item->st.st_nlink != 1)
        return refuse(item, "has another name elsewhere (a hard link)", error);
    if (db != NULL && item->st.st_uid == 0 && db->st_uid != 0)
        return refuse(item, "belongs to root, and the database does not", error);
    return ITEM_OPEN;
}

/* db: of the database itself, for the files beside it; NULL: this is it. */
static enum item_result
item_open(struct item *item, const struct place *place, const char *suffix,
          const struct stat *db, struct error *error)
{
    char name[2 * NAME_MAX];
    snprintf(name, sizeof name, "%s%s", place->name, suffix);
    snprintf(item->path, sizeof item->path, "%s/%.255s", place->folder, name);
    item->fd =
        openat(place->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (item->fd < 0 && errno == ENOENT)
        return ITEM_NOT_THERE;
    if (item->fd < 0 && errno == ELOOP)
        return refuse(item, "is a link: give the file that it leads to", error);
    if (item->fd < 0 || fstat(item->fd, &item->st) != 0)
        return refuse(item, strerror(errno), error);
    enum item_result result = item_judge(item, db, error);
    if (result != ITEM_OPEN)
        close(item->fd);
    return result;
}

/* --- what is asked before ------------------------------------------------------------ */

/* Another group has rights here that the rest of the world has not: it would lose them. */
static bool
takes_away(const struct stat *st, gid_t gid)
{
    unsigned group = st->st_mode >> 3 & 7;
    unsigned others = st->st_mode & 7;
    return st->st_gid != gid && (group & ~others) != 0;
}

static int
check_one(const struct item *item, gid_t gid, struct error *error)
{
    if (S_ISDIR(item->st.st_mode) && (item->st.st_mode & S_ISVTX) != 0)
        return error_set(error,
                         "--group: %s is a folder for all users: put the database into one "
                         "of its own",
                         item->path);
    if (takes_away(&item->st, gid))
        return error_set(error,
                         "--group: %s belongs to group %ld, which has rights to it that it "
                         "would lose: give that group, or change it first with chgrp",
                         item->path, (long)item->st.st_gid);
    return 0;
}

/* --- change ------------------------------------------------------------------------------ */

/* The group first: changing it takes the setgid bit away. */
static int
change(const struct item *item, gid_t gid, mode_t mode, struct error *error)
{
    struct stat st;
    if (item->st.st_gid == gid && (item->st.st_mode & 07777) == mode)
        return 0;
    if ((item->st.st_gid != gid && fchown(item->fd, (uid_t)-1, gid) != 0) ||
        fchmod(item->fd, mode) != 0)
        return error_set(error,
                         "%s: cannot change its group or mode: %s: only its owner, as a "
                         "member of the group, or root can",
                         item->path, strerror(errno));
    if (fstat(item->fd, &st) != 0 || st.st_gid != gid || (st.st_mode & 07777) != mode)
        return error_set(error, "%s: this file system does not keep group and mode",
                         item->path);
    printf("%s: group %ld, mode %04o\n", item->path, (long)gid, (unsigned)mode);
    return 0;
}

static int
share_one(const struct item *item, gid_t gid, struct error *error)
{
    mode_t rights = S_ISDIR(item->st.st_mode) ? FOLDER_RIGHTS : FILE_RIGHTS;
    return change(item, gid, (item->st.st_mode & 07777) | rights, error);
}

static int
share_new_one(const struct item *item, gid_t gid, struct error *error)
{
    if (S_ISDIR(item->st.st_mode))
        return share_one(item, gid, error);
    return change(item, gid, S_IRUSR | S_IWUSR | FILE_RIGHTS, error);
}

/* --- both -------------------------------------------------------------------------------- */

typedef int (*item_fn)(const struct item *item, gid_t gid, struct error *error);

static int
with_folder(const struct place *place, item_fn fn, gid_t gid, struct error *error)
{
    struct item folder = {.fd = place->fd};
    strcpy(folder.path, place->folder);
    if (fstat(place->fd, &folder.st) != 0)
        return error_set(error, "%s: %s", place->folder, strerror(errno));
    return fn(&folder, gid, error);
}

/* Calls fn for the folder, the database and what stands beside it. */
static int
with_all(const struct place *place, item_fn fn, gid_t gid, struct error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    struct stat db = {0};
    int result = with_folder(place, fn, gid, error);
    for (size_t i = 0; result == 0 && i < sizeof suffixes / sizeof *suffixes; i++) {
        struct item item;
        switch (item_open(&item, place, suffixes[i], i == 0 ? NULL : &db, error)) {
        case ITEM_OPEN:
            if (i == 0)
                db = item.st;
            result = fn(&item, gid, error);
            close(item.fd);
            break;
        case ITEM_REFUSED:
            result = -1;
            break;
        case ITEM_NOT_THERE:
            break;
        }
    }
    return result;
}

static int
with_place(const char *db, item_fn fn, gid_t gid, struct error *error)
{
    struct place place;
    if (place_open(&place, db, error) != 0)
        return -1;
    int result = with_all(&place, fn, gid, error);
    close(place.fd);
    return result;
}

int
group_check(const char *db, gid_t gid, struct error *error)
{
    return with_place(db, check_one, gid, error);
}

int
group_share(const char *db, gid_t gid, struct error *error)
{
    return with_place(db, share_one, gid, error);
}

int
group_share_new(const char *db, gid_t gid, struct error *error)
{
    return with_place(db, share_new_one, gid, error);
}
