/* strangers.h - whether another process has the database open with another -shm than the one that
 * lies beside it. Then neither sees what the other commits (store/files.h says why). */
#ifndef ROWCAST_STORE_STRANGERS_H
#define ROWCAST_STORE_STRANGERS_H

#include <stdbool.h>

#include "base/error.h"
#include "store/files.h"

/* How the kernel names the device that the database is on, in /proc/locks; stat may say otherwise
 * (btrfs, overlay). Empty: not known yet. */
struct store_device {
    char name[32];
};

/* False when the list of locks cannot be read, as in a container or unit that hides it: then the
 * two functions below always return false. */
bool store_files_can_see_strangers(void);

/* True when another process has the database open with another -shm than ours, as far as the
 * kernel lists (/proc/locks, which shows processes of the own container only). A process that
 * is just about to open it looks the same: ask again some milliseconds later. *error says what
 * to do. Learns *device. */
bool store_files_have_strangers(const struct store_files *files,
                                struct store_device *device, struct error *error);

/* The same before the database at the path is opened: whether another process has it open, and
 * not with the -shm that lies there, or none lies there. A process that opens it then makes a
 * new -shm, which lacks later commits of the first process, and it writes over them.
 * While *device is not known, stat's is taken. */
bool store_path_has_strangers(const char *path, const struct store_device *device,
                              struct error *error);

#endif
