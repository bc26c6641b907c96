/* path.c - looks at the database's path before SQLite does.
 *
 * Called by store/store.c. SQLite would say "unable to open database file" to all that is found
 * here; the user needs to know which it is. */
#include "config.h"

#include "store/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum store_result
fail_missing(const char *path, enum store_mode mode, struct error *error)
{
    int cause = errno;

    if (cause == ENOENT)
        error_set(error, "%s does not exist: create it with `rowcast init --db %s`", path,
                  path);
    else if (cause != EACCES || !store_diagnose_rights(path, mode, error))
        error_set(error, "%s: %s: check --db", path, strerror(cause));
    return STORE_FAILED;
}

/* A new file needs its folder. */
static enum store_result
check_folder(const struct store *store, struct error *error)
{
    const char *slash = strrchr(store->path, '/');
    struct stat st;

    if (slash == NULL || slash == store->path)
        return STORE_OK;
    char *folder = strndup(store->path, (size_t)(slash - store->path));
    bool missing = folder != NULL && stat(folder, &st) != 0 && errno == ENOENT;
    if (missing)
        error_set(error, "%s: its folder %s does not exist: create that first", store->path,
                  folder);
    free(folder);
    return missing ? STORE_FAILED : STORE_OK;
}

/* Turso's database coordinates its writers in a file that SQLite does not know: each would
 * write over what the other has committed. */
static enum store_result
check_turso(const struct store *store, struct error *error)
{
    char beside[PATH_MAX];
    struct stat st;

    if (snprintf(beside, sizeof beside, "%s-tshm", store->path) >= (int)sizeof beside ||
        stat(beside, &st) != 0)
        return STORE_OK;
    error_set(
        error,
        "%s is Turso's while %s-tshm lies beside it, and SQLite does not see what Turso "
        "commits: stop that program, or give rowcast a file of its own",
        store->path, store->path);
    return STORE_FAILED;
}

enum store_result
store_check_path(struct store *store, enum store_create create, struct error *error)
{
    struct stat st;

    if (store_files_begin(&store->files, store->path) != 0) {
        if (errno == ENOENT && create == STORE_CREATE_FILE)
            return check_folder(store, error);
        return fail_missing(store->path, store->mode, error);
    }
    if (stat(store->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        error_set(error, "%s is not a regular file: give the database file with --db",
                  store->path);
        return STORE_FAILED;
    }
    if (store->mode == STORE_WRITE && store_files_have_two_names(store->path, error))
        return STORE_FAILED;
    return check_turso(store, error);
}
