/* strangers.c - who else has the database open, by the kernel's list of locks; see
 * store/strangers.h.
 *
 * Called by store/store.c before it writes, by feed/reopen.c and by doctor. Nothing here opens a
 * file of the database or waits for a lock. */
#include "config.h"

#include "store/strangers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

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
    struct store_file file = store_file_at(real);
    if (known.name[0] == '\0')
        snprintf(known.name, sizeof known.name, "%02x:%02x", major(file.device),
                 minor(file.device));
    if (!find_holders(&(struct search){file, SHARED_BYTE, &known, &database}) ||
        database.count == 0)
        return false;
    struct store_file shm_file = store_file_beside(real, "-shm");
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
