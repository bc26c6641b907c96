/* files.c - stat and its kin on the three files of a database; see store/files.h.
 *
 * store/store.c notes what it has opened, store/write.c asks before BEGIN and COMMIT,
 * feed/feed.c once a second and when a name changes in the folder. Nothing here opens a file of
 * the database or waits for a lock. */
#include "config.h"

#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#endif

/* --- the same files? ----------------------------------------------------------------- */

static struct store_file
file_at(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct store_file){0};
    return (struct store_file){st.st_dev, st.st_ino};
}

static struct store_file
file_beside(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
        return (struct store_file){0};
    return file_at(name);
}

int
store_files_begin(struct store_files *files, const char *path)
{
    char real[PATH_MAX];
    *files = (struct store_files){.database = file_at(path)};
    if (files->database.inode == 0)
        return -1;
    if (realpath(path, real) == NULL)
        return 0;
    files->wal = file_beside(real, "-wal");
    files->shm = file_beside(real, "-shm");
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
    return is_same(noted, file_beside(path, suffix));
}

bool
store_files_note(struct store_files *files, const char *opened, enum store_files_of of)
{
    struct store_files before = *files;
    snprintf(files->path, sizeof files->path, "%s", opened);
    files->wal = file_beside(files->path, "-wal");
    files->shm = file_beside(files->path, "-shm");
    if (of == STORE_FILES_OF_WAL && (files->wal.inode == 0 || files->shm.inode == 0))
        return false;
    return is_same(before.wal, files->wal) && is_same(before.shm, files->shm);
}

bool
store_files_have_moved(const struct store_files *files, const char *path)
{
    /* Both by the name that was given, as a link may have been turned, and by the one that SQLite
     * goes by, as a folder on the way may have been moved. */
    return !is_same(file_at(path), files->database) ||
           !is_same(file_at(files->path), files->database) ||
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
        return file_at(".");
    int len = slash == path ? 1 : (int)(slash - path);
    if (snprintf(folder, sizeof folder, "%.*s", len, path) >= (int)sizeof folder)
        return (struct store_file){0};
    return file_at(folder);
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

/* --- who else has it open ------------------------------------------------------------ */

#define LOCKS_PATH "/proc/locks"
#define LOCKS_MAX_BYTES (1024 * 1024)
#define HOLDERS_MAX 256

/* The kernel gives the list in pages, and between two of them it may change: a line is left out
 * then. A list that fits one page is read once. */
#define LOCKS_PAGE_BYTES 4096
#define LOCKS_SCANS 3

/* Every connection to a WAL database holds a read lock on the first of these bytes of the
 * database and on the second of the -shm, for as long as it is open (SHARED_FIRST and
 * UNIX_SHM_DMS in os_unix.c; the former is in sqlite.org/fileformat2.html section 1.4 as part
 * of the lock-byte page). */
#define SHARED_BYTE 1073741826
#define SHM_OPEN_BYTE 128

struct holders {
    long pids[HOLDERS_MAX];
    size_t count;
    bool has_us;
};

struct lock {
    long pid;
    char device[32];
    uintmax_t inode;
};

static bool
is_holder(const struct holders *holders, long pid)
{
    for (size_t i = 0; i < holders->count; i++)
        if (holders->pids[i] == pid)
            return true;
    return false;
}

static void
add_holder(struct holders *holders, long pid)
{
    if (holders->count < HOLDERS_MAX && !is_holder(holders, pid))
        holders->pids[holders->count++] = pid;
}

/* A line of /proc/locks (proc_locks(5)): "1: POSIX  ADVISORY  READ 4242 fd:01:77 128 128". False
 * when it is no read lock that covers the byte. */
static bool
read_lock(const char *line, intmax_t byte, struct lock *lock)
{
    char end_text[32];
    char device[48];
    intmax_t start;
    if (sscanf(line, "%*d: POSIX ADVISORY READ %ld %47s %jd %31s", &lock->pid, device,
               &start, end_text) != 4)
        return false;
    char *colon = strrchr(device, ':');
    if (colon == NULL || (size_t)(colon - device) >= sizeof lock->device)
        return false;
    snprintf(lock->device, sizeof lock->device, "%.*s", (int)(colon - device), device);
    lock->inode = strtoumax(colon + 1, NULL, 10);
    intmax_t end =
        strcmp(end_text, "EOF") == 0 ? INTMAX_MAX : strtoimax(end_text, NULL, 10);
    return start <= byte && byte <= end;
}

/* What is looked for in the list. */
struct search {
    struct store_file file;
    intmax_t byte;
    struct store_device *device; /* empty: any; set to that of our own lock */
    struct holders *holders;
};

static void
take_lock(const struct search *search, const struct lock *lock)
{
    struct store_device *device = search->device;
    if (lock->inode != (uintmax_t)search->file.inode ||
        (device->name[0] != '\0' && strcmp(device->name, lock->device) != 0))
        return;
    if (lock->pid == (long)getpid()) {
        search->holders->has_us = true;
        strcpy(device->name, lock->device);
    } else {
        add_holder(search->holders, lock->pid);
    }
}

/* Reads the list once. Returns its bytes; 0 when it cannot be read to its end. */
static size_t
scan_locks(const struct search *search)
{
    char page[LOCKS_PAGE_BYTES];
    char line[256];
    size_t bytes = 0;
    struct lock lock;
    FILE *locks = fopen(LOCKS_PATH, "re");
    if (locks == NULL)
        return 0;
    setvbuf(locks, page, _IOFBF,
            sizeof page); /* or each read would ask for less than a page */
    while (bytes < LOCKS_MAX_BYTES && fgets(line, sizeof line, locks) != NULL) {
        bytes += strlen(line);
        if (read_lock(line, search->byte, &lock))
            take_lock(search, &lock);
    }
    bool at_end = feof(locks) != 0;
    fclose(locks);
    return at_end ? bytes : 0;
}

/* Who holds the byte of the file, we ourselves apart. False when that cannot be seen. */
static bool
find_holders(const struct search *search)
{
    size_t bytes = 0;
    *search->holders = (struct holders){.count = 0};
    for (int i = 0; i < LOCKS_SCANS; i++) {
        bytes = scan_locks(search);
        if (bytes < LOCKS_PAGE_BYTES)
            break;
    }
    return bytes > 0;
}

/* The first who has the database and not the -shm. */
static bool
name_stranger(const struct holders *database, const struct holders *shm, const char *path,
              struct error *error)
{
    for (size_t i = 0; i < database->count; i++) {
        if (is_holder(shm, database->pids[i]))
            continue;
        error_set(
            error,
            "process %ld has %s open with another -shm than the one beside it, which was "
            "removed, or with the file under another name: its rows do not arrive here, "
            "and what it writes may be lost: stop that process, then start it again",
            database->pids[i], path);
        return true;
    }
    return false;
}

bool
store_files_have_strangers(const struct store_files *files, struct store_device *device,
                           struct error *error)
{
    struct holders database;
    struct holders shm;
    /* What we do not hold ourselves is not what we have open, or is on another device. */
    if (files->shm.inode == 0 ||
        !find_holders(&(struct search){files->database, SHARED_BYTE, device, &database}) ||
        !database.has_us || database.count == 0 ||
        !find_holders(&(struct search){files->shm, SHM_OPEN_BYTE, device, &shm}) ||
        !shm.has_us)
        return false;
    return name_stranger(&database, &shm, files->path, error);
}

static bool
look_for_strangers(const char *path, const struct store_device *device, struct error *error)
{
    char real[PATH_MAX];
    struct store_device known = *device;
    struct holders database;
    struct holders shm = {.count = 0};
    if (realpath(path, real) == NULL)
        return false;
    struct store_file file = file_at(real);
    if (known.name[0] == '\0')
        snprintf(known.name, sizeof known.name, "%02x:%02x", major(file.device),
                 minor(file.device));
    if (!find_holders(&(struct search){file, SHARED_BYTE, &known, &database}) ||
        database.count == 0)
        return false;
    struct store_file shm_file = file_beside(real, "-shm");
    if (shm_file.inode != 0 &&
        !find_holders(&(struct search){shm_file, SHM_OPEN_BYTE, &known, &shm}))
        return false;
    return name_stranger(&database, &shm, real, error);
}

bool
store_path_has_strangers(const char *path, const struct store_device *device,
                         struct error *error)
{
    /* To open it although there is one is worse than to wait without need. */
    return look_for_strangers(path, device, error) ||
           look_for_strangers(path, device, error);
}

bool
store_files_can_see_strangers(void)
{
    /* Not access(2), which knows nothing of a sandbox. */
    int fd = open(LOCKS_PATH, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    close(fd);
    return true;
}
