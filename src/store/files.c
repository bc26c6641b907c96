/* files.c - stat and its kin on the three files of a database; see store/files.h.
 *
 * store/store.c notes what it has opened, store/write.c asks before BEGIN and COMMIT,
 * feed/feed.c once a second and when a name changes in the folder. Nothing here opens a file of
 * the database or waits for a lock. */
#include "config.h"

#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#endif

/* --- the same files? ----------------------------------------------------------------- */

struct store_file
store_file_at(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct store_file){0};
    return (struct store_file){st.st_dev, st.st_ino};
}

struct store_file
store_file_beside(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
        return (struct store_file){0};
    return store_file_at(name);
}

int
store_files_begin(struct store_files *files, const char *path)
{
    char real[PATH_MAX];
    *files = (struct store_files){.database = store_file_at(path)};
    if (files->database.inode == 0)
        return -1;
    if (realpath(path, real) == NULL)
        return 0;
    files->wal = store_file_beside(real, "-wal");
    files->shm = store_file_beside(real, "-shm");
    return 0;
}

static bool
is_same(struct store_file a, struct store_file b)
{
    return a.inode == b.inode && a.device == b.device;
}

static bool
is_kept(struct store_file noted, const char *path, const char *suffix)
{
    return is_same(noted, store_file_beside(path, suffix));
}

bool
store_files_note(struct store_files *files, const char *opened, enum store_files_of of)
{
    struct store_files before = *files;
    snprintf(files->path, sizeof files->path, "%s", opened);
    files->wal = store_file_beside(files->path, "-wal");
    files->shm = store_file_beside(files->path, "-shm");
    if (of == STORE_FILES_OF_WAL && (files->wal.inode == 0 || files->shm.inode == 0))
        return false;
    return is_same(before.wal, files->wal) && is_same(before.shm, files->shm);
}

bool
store_files_have_moved(const struct store_files *files, const char *path)
{
    /* Both names are checked: the one that was given, because a link may lead elsewhere now, and
     * the one that SQLite uses, because a folder on the way may have been moved. */
    return !is_same(store_file_at(path), files->database) ||
           !is_same(store_file_at(files->path), files->database) ||
           !is_kept(files->wal, files->path, "-wal") ||
           !is_kept(files->shm, files->path, "-shm");
}

bool
store_files_are_same(const struct store_files *a, const struct store_files *b)
{
    return is_same(a->database, b->database) && is_same(a->wal, b->wal) &&
           is_same(a->shm, b->shm);
}

/* Its length in bytes; -1: not known. */
static int64_t
wal_length(const struct store_files *files)
{
    char name[PATH_MAX];
    struct stat st;
    if (snprintf(name, sizeof name, "%s-wal", files->path) >= (int)sizeof name ||
        stat(name, &st) != 0)
        return -1;
    return st.st_size;
}

void
store_files_note_wal(struct store_files *files)
{
    int64_t now = wal_length(files);
    if (now > files->wal_bytes)
        files->wal_bytes = now;
}

bool
store_files_wal_shrank(struct store_files *files)
{
    int64_t before = files->wal_bytes;
    int64_t now = wal_length(files);
    if (now < 0)
        return false;
    files->wal_bytes = now;
    return now < before;
}

/* --- the same folder? ---------------------------------------------------------------- */

static struct store_file
folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return store_file_at(".");
    int len = slash == path ? 1 : (int)(slash - path);
    if (snprintf(folder, sizeof folder, "%.*s", len, path) >= (int)sizeof folder)
        return (struct store_file){0};
    return store_file_at(folder);
}

void
store_folders_note(struct store_folders *folders, const char *path)
{
    char real[PATH_MAX];
    folders->given = folder_of(path);
    folders->real = realpath(path, real) != NULL ? folder_of(real) : folders->given;
}

bool
store_folders_have(const struct store_folders *folders, const char *path)
{
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return true;
    struct store_file now = folder_of(real);
    return is_same(now, folders->given) || is_same(now, folders->real);
}

/* --- by another name? ---------------------------------------------------------------- */

/* Whether the file, and not a folder above it, is what was mounted. */
static bool
is_mounted_itself(const char *path, const char *suffix)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    char name[PATH_MAX];
    struct statx st;
    return snprintf(name, sizeof name, "%s%s", path, suffix) < (int)sizeof name &&
           statx(AT_FDCWD, name, 0, STATX_INO, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#else
    (void)path;
    (void)suffix;
    return false;
#endif
}

bool
store_files_have_two_names(const char *path, struct error *error)
{
    char real[PATH_MAX];
    struct stat st;
    if (realpath(path, real) == NULL || stat(real, &st) != 0)
        return false;
    if (is_mounted_itself(real, "") || is_mounted_itself(real, "-wal") ||
        is_mounted_itself(real, "-shm")) {
        error_set(
            error,
            "%s is mounted by itself, without its folder: a process outside has "
            "another -wal and -shm, and its rows do not arrive here: mount the folder",
            real);
        return true;
    }
    if (st.st_nlink > 1) {
        error_set(
            error,
            "%s has %ju names (hard links): a process that opens it by another one has "
            "another -wal and -shm, and its rows do not arrive here: remove the others "
            "(find / -xdev -samefile %s)",
            real, (uintmax_t)st.st_nlink, real);
        return true;
    }
    return false;
}

bool
store_files_are_a_copy(const char *path, struct error *error)
{
#ifdef __linux__
    struct statfs fs;
    struct statvfs mount;
    if (statfs(path, &fs) != 0 || fs.f_type != OVERLAYFS_SUPER_MAGIC ||
        statvfs(path, &mount) != 0 || (mount.f_flag & ST_RDONLY) == 0)
        return false;
    error_set(
        error,
        "%s is on a read-only overlay: programs that write to it do so below, and neither "
        "the locks nor the -shm of that process are seen here: mount the folder itself",
        path);
    return true;
#else
    (void)path;
    (void)error;
    return false;
#endif
}
