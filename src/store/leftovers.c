/* leftovers.c - a write-ahead log or journal that lies beside a database file and that SQLite would
 * play into it.
 *
 * `rowcast rebase` asks, as it is run after a backup was copied over a database. Neither file
 * says whose it is: a WAL has salts and a checkpoint sequence of its own, and nothing of them
 * is in the database (sqlite.org/walformat.html section 4, fileformat2.html section 4.1). So
 * the rule is the safe one: whatever would be played in is refused, unless a program has the
 * database open right now, whose own it then is. Nothing is changed. Called before SQLite has
 * the file open in this process, since closing a descriptor would drop its locks
 * (howtocorrupt.html section 2.2). */
#include "config.h"

#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a WAL (fileformat2.html section 4.1), all numbers big-endian. */
#define WAL_MAGIC 0x377f0682U /* or this and 1: checksums of big-endian words */
#define WAL_HEADER_BYTES 32
#define WAL_PAGE_SIZE_AT 8
#define WAL_SALT_AT 16
#define WAL_CHECKSUM_AT 24
#define FRAME_HEADER_BYTES 24
#define FRAME_COMMIT_AT 4
#define FRAME_SALT_AT 8
#define FRAME_CHECKSUM_AT 16
#define PAGE_BYTES_MAX 65536

#define SHM_OPEN_LOCK_AT                                                                   \
    128 /* held shared by each connection (walformat.html section 2.3) */

/* Of a rollback journal: how it begins, until it is committed (fileformat2.html section 3). */
static const unsigned char journal_magic[] = {0xd9, 0xd5, 0x05, 0xf9,
                                              0x20, 0xa1, 0x63, 0xd7};

#define RESERVED_LOCK_AT 0x40000001 /* in the database, by who writes the journal */

struct wal {
    int fd;
    uint32_t page_bytes;
    bool is_big_endian;
    uint32_t sums[2];
    unsigned char salt[8];
};

static uint32_t
number_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
sum_up(struct wal *wal, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8)
        for (size_t half = 0; half < 2; half++) {
            const unsigned char *p = bytes + i + 4 * half;
            uint32_t word = number_at(p);
            if (!wal->is_big_endian)
                word = __builtin_bswap32(word);
            wal->sums[half] += word + wal->sums[1 - half];
        }
}

static bool
sums_are(const struct wal *wal, const unsigned char *stored)
{
    return wal->sums[0] == number_at(stored) && wal->sums[1] == number_at(stored + 4);
}

static bool
wal_begin(struct wal *wal)
{
    unsigned char header[WAL_HEADER_BYTES];
    if (pread(wal->fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        return false;
    wal->page_bytes = number_at(header + WAL_PAGE_SIZE_AT);
    wal->is_big_endian = (header[3] & 1) != 0;
    memcpy(wal->salt, header + WAL_SALT_AT, sizeof wal->salt);
    sum_up(wal, header, WAL_CHECKSUM_AT);
    return (number_at(header) & ~1U) == WAL_MAGIC && wal->page_bytes >= 512 &&
           wal->page_bytes <= PAGE_BYTES_MAX && sums_are(wal, header + WAL_CHECKSUM_AT);
}

/* Whether a transaction is in it: frames whose sums are right, up to one that commits. */
static bool
wal_has_commit(struct wal *wal, unsigned char *frame)
{
    size_t len = FRAME_HEADER_BYTES + wal->page_bytes;
    off_t at = WAL_HEADER_BYTES;
    while (pread(wal->fd, frame, len, at) == (ssize_t)len) {
        sum_up(wal, frame, FRAME_SALT_AT);
        sum_up(wal, frame + FRAME_HEADER_BYTES, wal->page_bytes);
        if (memcmp(frame + FRAME_SALT_AT, wal->salt, sizeof wal->salt) != 0 ||
            !sums_are(wal, frame + FRAME_CHECKSUM_AT))
            return false;
        if (number_at(frame + FRAME_COMMIT_AT) != 0)
            return true;
        at += (off_t)len;
    }
    return false;
}

/* The file beside the database; -1 when it is not there or cannot be read. */
static int
open_beside(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
        return -1;
    return open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool
is_locked(int fd, off_t at)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool
is_open_elsewhere(const char *path, const char *suffix, off_t lock_at)
{
    int fd = open_beside(path, suffix);
    bool is_locked_there = fd >= 0 && is_locked(fd, lock_at);
    if (fd >= 0)
        close(fd);
    return is_locked_there;
}

static bool
has_wal(const char *path)
{
    unsigned char *frame = malloc(FRAME_HEADER_BYTES + PAGE_BYTES_MAX);
    struct wal wal = {.fd = open_beside(path, "-wal")};
    bool found =
        frame != NULL && wal.fd >= 0 && wal_begin(&wal) && wal_has_commit(&wal, frame);
    if (wal.fd >= 0)
        close(wal.fd);
    free(frame);
    return found;
}

bool
store_has_hot_journal(const char *path)
{
    unsigned char begin[sizeof journal_magic];
    int fd = open_beside(path, "-journal");
    if (fd < 0)
        return false;
    bool found = pread(fd, begin, sizeof begin, 0) == (ssize_t)sizeof begin &&
                 memcmp(begin, journal_magic, sizeof begin) == 0;
    close(fd);
    return found;
}

int
store_check_leftovers(const char *path, struct error *error)
{
    char real[PATH_MAX]; /* SQLite's files are beside the file, not beside a link to it */
    if (realpath(path, real) == NULL)
        return 0; /* the open that follows says why */
    if (has_wal(real) && !is_open_elsewhere(real, "-shm", SHM_OPEN_LOCK_AT))
        return error_set(
            error,
            "%s-wal would be played into the database: if you have copied a backup "
            "there, run `rm -f %s-wal %s-shm`, copy it again and repeat; if the file is "
            "this database's own, run `sqlite3 %s 'PRAGMA wal_checkpoint(TRUNCATE)'` "
            "and repeat",
            real, real, real, real);
    if (store_has_hot_journal(real) && !is_open_elsewhere(real, "", RESERVED_LOCK_AT))
        return error_set(
            error,
            "%s-journal would be rolled back into the database: if you have copied a "
            "backup there, run `rm -f %s-journal`, copy it again and repeat; if the "
            "file is this database's own, run `sqlite3 %s .tables` and repeat",
            real, real, real);
    return 0;
}
