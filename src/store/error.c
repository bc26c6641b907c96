/* error.c - from SQLite's result codes to one line that says what to do.
 *
 * SQLite says "unable to open database file" for a dozen causes. The administrator wants to
 * know which right is missing on which file, so this file looks: with faccessat for the
 * effective user, without opening anything (closing a descriptor of the database would drop
 * SQLite's locks, sqlite.org/howtocorrupt.html section 2.2). It only explains; what to do
 * next is the caller's decision, by the store_result. */
#include "config.h"

#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHO_MAX 64

/* "user 33 (www-data)": the web server's user is seldom the one who reads this. */
static const char *
effective_user(char out[WHO_MAX])
{
    struct passwd entry;
    struct passwd *found = NULL;
    char names[1024]; /* not static: the writer's thread may ask at the same time */

    if (getpwuid_r(geteuid(), &entry, names, sizeof names, &found) == 0 && found != NULL)
        snprintf(out, WHO_MAX, "user %u (%s)", (unsigned)geteuid(), entry.pw_name);
    else
        snprintf(out, WHO_MAX, "user %u", (unsigned)geteuid());
    return out;
}

/* Why the right is missing: EACCES, EPERM or EROFS. 0: it is not missing, or the cause is not
 * known. */
static int
lack_of(const char *path, int right)
{
    if (faccessat(AT_FDCWD, path, right, AT_EACCESS) == 0)
        return 0;
    return errno == EACCES || errno == EROFS || errno == EPERM ? errno : 0;
}

static bool
lacks(const char *path, int right)
{
    return lack_of(path, right) != 0;
}

/* The folder of a file, without the slash at its end. */
static void
folder_of(const char *path, char out[PATH_MAX])
{
    size_t len = (size_t)(strrchr(path, '/') - path);
    snprintf(out, PATH_MAX, "%.*s", len == 0 ? 1 : (int)len, path);
}

/* A file system on which no right helps: not chmod, and perhaps not root. */
static bool
diagnose_mount(const char *path, struct error *error)
{
    char folder[PATH_MAX];

    folder_of(path, folder);
    error_set(error,
              "%s is mounted read-only here, and SQLite has to write beside the database: "
              "mount it read-write; in a systemd service add ReadWritePaths=%s",
              folder, folder);
    return true;
}

/* The first folder on the way to the file that may not be entered. */
static bool
diagnose_way(const char *path, struct error *error)
{
    char folder[PATH_MAX];
    char who[WHO_MAX];

    for (const char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        size_t len = (size_t)(p - path);
        if (len >= sizeof folder)
            return false;
        memcpy(folder, path, len);
        folder[len] = '\0';
        if (lacks(folder, X_OK)) {
            error_set(error,
                      "%s may not enter the folder %s: give it the right, as with "
                      "chmod o+x or chgrp and chmod g+x",
                      effective_user(who), folder);
            return true;
        }
    }
    return false;
}

static bool
diagnose_file(const char *path, const char *suffix, int right, struct error *error)
{
    char name[PATH_MAX];
    char who[WHO_MAX];

    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
        return false;
    int cause = lack_of(name, right);
    if (cause == 0)
        return false;
    if (cause == EROFS)
        return diagnose_mount(name, error);
    bool read = (right & R_OK) != 0 && lacks(name, R_OK);
    const char *verb = read ? "read" : "write";
    error_set(error, "%s may not %s %s: give it the right, as with chgrp and chmod g+%s",
              effective_user(who), verb, name, read ? "r" : "w");
    return true;
}

/* What a writer that died has left must be rolled back before any process reads, and only a
 * process that may write can do that. */
static bool
diagnose_journal(const char *path, struct error *error)
{
    char folder[PATH_MAX];
    char who[WHO_MAX];

    folder_of(path, folder);
    if (!store_has_hot_journal(path) ||
        (lack_of(path, W_OK) == 0 && lack_of(folder, W_OK) == 0) ||
        lack_of(folder, W_OK) == EROFS)
        return false;
    error_set(
        error,
        "a writer has died and left %s-journal, and %s may not write the database to "
        "roll it back: give it the right to file and folder, or let a user who has it "
        "run `sqlite3 %s .tables`",
        path, effective_user(who), path);
    return true;
}

/* SQLite makes -wal and -shm (a writer: or -journal) in the folder; a reader too, unless they
 * are there. */
static bool
diagnose_folder(const char *path, enum store_mode mode, struct error *error)
{
    char folder[PATH_MAX];
    char who[WHO_MAX];

    if (mode != STORE_WRITE &&
        snprintf(folder, sizeof folder, "%s-shm", path) < (int)sizeof folder &&
        access(folder, F_OK) == 0)
        return false;

    const char *name = strrchr(path, '/') + 1;
    folder_of(path, folder);
    int cause = lack_of(folder, W_OK);
    if (cause == 0)
        return false;
    if (cause == EROFS)
        return diagnose_mount(path, error);
    error_set(error,
              "%s may not write the folder %s, where SQLite makes %s-wal and %s-shm: "
              "give it the right, as with chgrp and chmod g+w",
              effective_user(who), folder, name, name);
    return true;
}

/* The path from the root, links resolved where the file is there. */
static bool
absolute_path(const char *path, char out[PATH_MAX])
{
    char folder[PATH_MAX];

    /* SQLite puts the other files beside the file itself, not beside a link to it. */
    if (realpath(path, out) != NULL)
        return true;
    if (path[0] == '/')
        return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
    return getcwd(folder, sizeof folder) != NULL &&
           snprintf(out, PATH_MAX, "%s/%s", folder, path) < PATH_MAX;
}

bool
store_diagnose_rights(const char *path, enum store_mode mode, struct error *error)
{
    char absolute[PATH_MAX];
    int right = mode == STORE_WRITE ? R_OK | W_OK : R_OK;

    if (!absolute_path(path, absolute))
        return false;
    return diagnose_way(absolute, error) || diagnose_file(absolute, "", right, error) ||
           diagnose_journal(absolute, error) ||
           diagnose_file(absolute, "-wal", right, error) ||
           diagnose_file(absolute, "-shm", right, error) ||
           diagnose_file(absolute, "-journal", right, error) ||
           diagnose_folder(absolute, mode, error);
}

static enum store_result
fail_full(struct store *store, struct error *error)
{
    error_set(error,
              "%s: the disk is full (or a quota or size limit is reached), nothing was "
              "written: free space in its folder, then repeat",
              store->path);
    return STORE_FAILED;
}

static bool
means_full(int cause)
{
    return cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
}

/* What the operating system refused. `last` is errno: SQLite forgets the cause of a COMMIT that
 * fails, and has no code of its own for a quota or a file size limit. */
static enum store_result
fail_io(struct store *store, const char *doing, int last, struct error *error)
{
    int cause = store->db != NULL ? sqlite3_system_errno(store->db) : 0;

    if (means_full(cause) || (cause == 0 && means_full(last)))
        return fail_full(store, error);
    if (store_diagnose_rights(store->path, store->mode, error))
        return STORE_FAILED;
    if (cause == EMFILE || cause == ENFILE)
        error_set(error, "%s: cannot %s: too many open files: raise the limit (ulimit -n)",
                  store->path, doing);
    else if (cause != 0)
        error_set(error, "%s: cannot %s: %s (%s): check the file and its file system",
                  store->path, doing, strerror(cause), sqlite3_errmsg(store->db));
    else
        error_set(error, "%s: cannot %s: %s: check the file and its file system",
                  store->path, doing, sqlite3_errmsg(store->db));
    return STORE_FAILED;
}

static enum store_result
fail_readonly(struct store *store, const char *doing, struct error *error)
{
    if (!store_diagnose_rights(store->path, store->mode, error) &&
        !store_diagnose_rights(store->path, STORE_WRITE, error))
        error_set(error,
                  "%s: cannot %s: the database is read-only (a file system mounted "
                  "read-only, or the file was moved or replaced): check both, then "
                  "repeat",
                  store->path, doing);
    return STORE_FAILED;
}

/* A message of our own triggers is the explanation. */
static enum store_result
fail_constraint(struct store *store, struct error *error)
{
    static const char prefix[] = "rowcast: ";
    const char *text = sqlite3_errmsg(store->db);

    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    snprintf(store->refusal, sizeof store->refusal, "%s", text);
    error_set(error, "%s: table %s refuses the row: %s", store->path, store->table, text);
    return STORE_FAILED;
}

/* An SQLite that is older than the one that made an object in the schema calls it malformed:
 * the file is sound then, and recovering it would lose what it does not understand. */
static enum store_result
fail_corrupt(struct store *store, struct error *error)
{
    static const char schema[] = "malformed database schema";
    const char *text = sqlite3_errmsg(store->db);

    if (strncmp(text, schema, sizeof schema - 1) == 0) {
        error_set(
            error,
            "%s: SQLite %s of this program does not understand its schema (%s): it was "
            "made by a newer SQLite, or edited by hand: use one at least as new, or "
            "drop that object with the program that made it",
            store->path, sqlite3_libversion(), text);
        return STORE_FAILED;
    }
    error_set(error,
              "%s is damaged (%s): stop its writers, then restore a backup, or save "
              "what can be read: sqlite3 %s .recover | sqlite3 new.db",
              store->path, text, store->path);
    return STORE_FAILED;
}

enum store_result
store_fail(struct store *store, int code, const char *doing, struct error *error)
{
    int last = errno;

    store->refusal[0] = '\0'; /* of an earlier failure, perhaps */
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* lost a race for the WAL's locks too often */
        error_set(error,
                  "%s: cannot %s: another process has it locked: repeat when that one "
                  "has ended its transaction (fuser %s shows who has it open)",
                  store->path, doing, store->path);
        return STORE_BUSY;
    case SQLITE_FULL:
        return fail_full(store, error);
    case SQLITE_CORRUPT:
        return fail_corrupt(store, error);
    case SQLITE_NOTADB:
        error_set(error, "%s is not an SQLite database (or is encrypted): check --db",
                  store->path);
        return STORE_FAILED;
    case SQLITE_READONLY:
        return fail_readonly(store, doing, error);
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return fail_io(store, doing, last, error);
    case SQLITE_CONSTRAINT:
        return fail_constraint(store, error);
    case SQLITE_TOOBIG:
        error_set(error,
                  "%s: cannot %s: the data is larger than SQLite allows in a row (1 GB)",
                  store->path, doing);
        return STORE_FAILED;
    case SQLITE_NOMEM:
        error_set(error, "%s: cannot %s: out of memory", store->path, doing);
        return STORE_FAILED;
    default:
        error_set(error, "%s: cannot %s: %s: check the table with `sqlite3 FILE .schema`",
                  store->path, doing, sqlite3_errmsg(store->db));
        return STORE_FAILED;
    }
}
