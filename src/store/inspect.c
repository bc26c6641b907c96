/* inspect.c - looks at a database and the write-ahead log beside it from the outside: doctor's
 * part of the store.
 *
 * A checkpoint (PRAGMA wal_checkpoint) would tell the same, but it writes, and it cannot say who is
 * in its way. The index in the -shm file has it all: how many frames there are, how many are
 * checkpointed, and for each of five read marks how far its readers see. A reader holds a POSIX
 * lock on its mark's byte, and F_GETLK names the process (sqlite.org/walformat.html section 2,
 * "The WAL-Index"). The format is fixed for all versions of SQLite 3 that know WAL. */
#include "config.h"

#include "store/inspect.h"

#include "store/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

/* Of the database: the read version, 2 for WAL (sqlite.org/fileformat2.html section 1.3). */
#define READ_VERSION_AT 19
#define READ_VERSION_WAL 2
#define PAGE_SIZE_AT 16

/* Of the -shm file, in bytes; numbers are in the machine's order. The header is there twice, and
 * is being written where the two differ. */
#define SHM_HEADER_BYTES 48
#define SHM_FRAMES_AT 16
#define SHM_CHECKPOINTED_AT 96
#define SHM_MARKS_AT 100
#define SHM_READ 120
#define SHM_READER_LOCKS_AT 123

#define SHM_TRIES 20
#define STRANGERS_PAUSE_MS 300

static uint32_t
number_at(const unsigned char *bytes, size_t at)
{
    uint32_t number;

    memcpy(&number, bytes + at, sizeof number);
    return number;
}

static void
look_at_readers(int fd, const unsigned char *shm, struct store_wal *wal)
{
    for (int i = 0; i < STORE_WAL_READERS; i++) {
        struct flock lock = {.l_type = F_WRLCK,
                             .l_whence = SEEK_SET,
                             .l_start = SHM_READER_LOCKS_AT + i,
                             .l_len = 1};
        /* Mark 0 is for readers that need nothing from the log. */
        wal->readers[i].frame =
            i == 0 ? wal->checkpointed : number_at(shm, SHM_MARKS_AT + 4 * (size_t)i);
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK) {
            wal->readers[i].locked = true;
            wal->readers[i].pid = lock.l_pid > 0 ? lock.l_pid : 0;
        }
    }
}

static void
look_at_index(int fd, struct store_wal *wal)
{
    unsigned char shm[SHM_READ];

    for (int i = 0; i < SHM_TRIES; i++) {
        if (pread(fd, shm, sizeof shm, 0) != (ssize_t)sizeof shm)
            return;
        if (memcmp(shm, shm + SHM_HEADER_BYTES, SHM_HEADER_BYTES) != 0)
            continue;
        wal->frames = number_at(shm, SHM_FRAMES_AT);
        wal->checkpointed = number_at(shm, SHM_CHECKPOINTED_AT);
        look_at_readers(fd, shm, wal);
        return;
    }
}

static int64_t
size_of(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    struct stat st;

    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name ||
        stat(name, &st) != 0)
        return -1;
    return st.st_size;
}

static void
look_beside(const char *path, struct store_wal *wal)
{
    char name[PATH_MAX];

    wal->bytes = size_of(path, "-wal");
    wal->shm_bytes = size_of(path, "-shm");
    if (snprintf(name, sizeof name, "%s-shm", path) >= (int)sizeof name)
        return;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return;
    look_at_index(fd, wal);
    close(fd);
}

int
store_inspect_wal(const char *path, struct store_wal *wal, struct error *error)
{
    char real[PATH_MAX];
    unsigned char header[100] = {0};

    *wal = (struct store_wal){.bytes = -1, .shm_bytes = -1};
    /* The other files are beside the file, not beside a link to it. */
    if (realpath(path, real) == NULL)
        return error_set(error, "%s: %s", path, strerror(errno));
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return error_set(error, "%s: %s", path, strerror(errno));
    ssize_t count = pread(fd, header, sizeof header, 0);
    close(fd);
    if (count < 0)
        return error_set(error, "%s: %s", path, strerror(errno));

    wal->wal_mode = header[READ_VERSION_AT] == READ_VERSION_WAL;
    wal->page_bytes = (uint32_t)header[PAGE_SIZE_AT] << 8 | header[PAGE_SIZE_AT + 1];
    if (wal->page_bytes == 1) /* stands for what does not fit */
        wal->page_bytes = 65536;
    look_beside(real, wal);
    return 0;
}

/* Reading the database of others without leaving a trace. A WAL database that no process has open
 * has no -wal and -shm, and a mere reader would make them, as files of its own user's. With
 * "immutable" SQLite does without; what a crashed writer left in a -wal alone is then not seen.
 * */
int
store_open_to_look(struct store *store)
{
    static const char hex[] = "0123456789ABCDEF";
    struct buf uri = {0};
    struct store_wal wal = {.bytes = -1};
    struct error ignored;

    store_inspect_wal(store->path, &wal, &ignored);
    buf_append_text(&uri, "file:");
    for (const unsigned char *p = (const unsigned char *)store->path; *p != '\0'; p++) {
        if (isalnum(*p) || strchr("/._-", *p) != NULL)
            buf_append(&uri, p, 1);
        else
            buf_append(&uri, (char[]){'%', hex[*p >> 4], hex[*p & 15]}, 3);
    }
    store->is_alone = wal.wal_mode && (wal.bytes < 0 || wal.shm_bytes < 0);
    buf_append_text(&uri, store->is_alone ? "?immutable=1" : "?mode=ro");
    buf_append(&uri, "", 1);
    int code = SQLITE_NOMEM;
    if (!uri.failed)
        code = sqlite3_open_v2(uri.p, &store->db,
                               SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                               NULL);
    buf_fini(&uri);
    return code;
}

enum store_result
store_inspect(const struct store_config *config, enum store_kind *kind, int *version,
              struct error *error)
{
    static const enum store_kind kinds[] = {
        [STORE_TABLE_OURS] = STORE_KIND_OURS,
        [STORE_TABLE_FOREIGN] = STORE_KIND_FOREIGN,
        [STORE_TABLE_MISSING] = STORE_KIND_NONE,
        [STORE_TABLE_STALE] = STORE_KIND_NONE,
    };
    const char *table = config->table != NULL ? config->table : STORE_DEFAULT_TABLE;
    struct store_config look = *config;
    struct store *store = malloc(sizeof *store);
    enum store_table found;

    if (store == NULL) {
        error_set(error, "%s: out of memory", config->path);
        return STORE_FAILED;
    }
    look.mode = STORE_INSPECT;
    enum store_result result = store_open_file(store, &look, STORE_CREATE_NEVER, error);
    if (result == STORE_OK)
        result = store_identify(store, table, &found, version, error);
    if (result == STORE_OK)
        *kind = kinds[found];
    store_close(store);
    return result;
}

/* A process that is just opening the database looks like a stranger for a moment. */
static bool
has_lasting_strangers(const char *path, struct error *error)
{
    static const struct store_device unknown = {""};

    if (!store_path_has_strangers(path, &unknown, error))
        return false;
    sqlite3_sleep(STRANGERS_PAUSE_MS);
    return store_path_has_strangers(path, &unknown, error);
}

bool
store_inspect_names(const char *path, struct error *error)
{
    return store_files_have_two_names(path, error) || store_files_are_a_copy(path, error) ||
           has_lasting_strangers(path, error);
}
