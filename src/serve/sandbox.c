/* sandbox.c - Landlock by its bare system calls, for which the C library has no names.
 *
 * Constants that this kernel's headers may not have yet are written out, from
 * Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of Linux 6.12. A
 * kernel refuses what it does not know, so each version is asked only for its own. */
#include "config.h"

#include "serve/sandbox.h"

#ifdef HAVE_LINUX_LANDLOCK_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define NET_BIND_AND_CONNECT_TCP UINT64_C(3)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)

/* As struct landlock_ruleset_attr has grown; a shorter one is for an older kernel. */
struct ruleset_attr {
    uint64_t handled_fs;
    uint64_t handled_net; /* version 4 */
    uint64_t scoped;      /* version 6 */
};

struct ruleset {
    int fd;
    uint64_t handled_fs;
};

/* The bits 0 to n - 1 are there from that version on. */
static uint64_t
fs_rights(long version)
{
    static const unsigned char bits[] = {0, 13, 14, 15, 15, 16};
    long last = (long)sizeof bits - 1;
    return (UINT64_C(1) << bits[version > last ? last : version]) - 1;
}

/* Signals and abstract Unix sockets of other processes. The service manager's socket may be one
 * (sd_notify(3)): then it has to stay in reach. */
static uint64_t
scopes(void)
{
    const char *notify = getenv("NOTIFY_SOCKET");
    bool is_abstract = notify != NULL && notify[0] == '@';
    return SCOPE_SIGNAL | (is_abstract ? 0 : SCOPE_ABSTRACT_UNIX_SOCKET);
}

static int
ruleset_make(struct ruleset *ruleset, long version)
{
    struct ruleset_attr attr = {.handled_fs = fs_rights(version)};
    size_t size = sizeof attr.handled_fs;
    if (version >= 4) {
        attr.handled_net = NET_BIND_AND_CONNECT_TCP;
        size = offsetof(struct ruleset_attr, scoped);
    }
    if (version >= 6) {
        attr.scoped = scopes();
        size = sizeof attr;
    }
    ruleset->handled_fs = attr.handled_fs;
    ruleset->fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    return ruleset->fd < 0 ? -1 : 0;
}

static int
allow_path(const struct ruleset *ruleset, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -1;
    int result = fstat(fd, &st);
    if (result == 0 && !S_ISDIR(st.st_mode))
        rights &= FS_OF_FILES;
    struct landlock_path_beneath_attr attr = {
        .allowed_access = rights & ruleset->handled_fs, .parent_fd = fd};
    if (result == 0)
        result = (int)syscall(SYS_landlock_add_rule, ruleset->fd,
                              LANDLOCK_RULE_PATH_BENEATH, &attr, 0);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

/* The folder of a file; its name is changed on the way (dirname(3)). */
static int
allow_folder_of(const struct ruleset *ruleset, const char *file, uint64_t rights)
{
    char path[PATH_MAX];
    if (strlen(file) >= sizeof path)
        return 0;
    strcpy(path, file);
    return allow_path(ruleset, dirname(path), rights);
}

static uint64_t
rights_of(enum sandbox_access access)
{
    switch (access) {
    case SANDBOX_WRITE_BESIDE: /* SQLite also opens the folder, to sync it */
        return FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG |
               FS_REMOVE_FILE;
    case SANDBOX_APPEND_BESIDE:
        return FS_WRITE_FILE | FS_MAKE_REG;
    case SANDBOX_READ_BESIDE:
    case SANDBOX_READ:
        return FS_READ_FILE | FS_READ_DIR;
    case SANDBOX_REMOVE_BESIDE:
        return FS_REMOVE_FILE;
    }
    return 0;
}

static int
allow(const struct ruleset *ruleset, const struct sandbox_rule *rule)
{
    char real[PATH_MAX];
    uint64_t rights = rights_of(rule->access);
    if (rule->path == NULL)
        return 0;
    if (rule->access == SANDBOX_READ)
        return allow_path(ruleset, rule->path, rights);
    if (allow_folder_of(ruleset, rule->path, rights) != 0)
        return -1;
    /* A symbolic link's own folder, where it may be replaced by a file, and where it leads to. */
    if (realpath(rule->path, real) == NULL)
        return 0;
    return allow_folder_of(ruleset, real, rights);
}

/* LeakSanitizer looks at /proc and the symbolizer at everything, at exit. */
static int
allow_sanitizers(const struct ruleset *ruleset)
{
#ifdef __SANITIZE_ADDRESS__
    return allow_path(ruleset, "/", FS_READ_FILE | FS_READ_DIR | FS_EXECUTE);
#else
    (void)ruleset;
    return 0;
#endif
}

static int
ruleset_enter(const struct ruleset *ruleset, const struct sandbox_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (allow(ruleset, &rules[i]) != 0)
            return -1;
    if (allow_sanitizers(ruleset) != 0)
        return -1;
    return (int)syscall(SYS_landlock_restrict_self, ruleset->fd, 0);
}

int
sandbox_enter(const struct sandbox_rule *rules, size_t count, struct error *error)
{
    struct ruleset ruleset;
    /* Landlock wants this of a process that is not root. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_set(error, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version <=
        0) /* ENOSYS: no such kernel; EOPNOTSUPP: switched off; EPERM: a container */
        return 0;
    if (ruleset_make(&ruleset, version) != 0)
        return error_set(error, "Landlock %ld: %s", version, strerror(errno));
    int result = ruleset_enter(&ruleset, rules, count);
    if (result != 0)
        error_set(error, "Landlock %ld: %s", version, strerror(errno));
    close(ruleset.fd);
    return result != 0 ? -1 : (int)version;
}

#else

int
sandbox_enter(const struct sandbox_rule *rules, size_t count, struct error *error)
{
    (void)rules;
    (void)count;
    (void)error;
    return 0;
}

#endif
