/* folder.c - a folder of its own for a test that makes files; see folder.h. */
#include "config.h"

#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 8 /* of folders that nftw keeps open */

int
folder_make(char folder[FOLDER_MAX], const char *name)
{
    snprintf(folder, FOLDER_MAX, "/tmp/rowcast-%s.XXXXXX", name);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

void
folder_remove(const char *folder)
{
    nftw(folder, remove_entry, DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
}
