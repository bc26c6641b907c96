/* folder.h - a folder of its own for a test that makes files. */
#ifndef ROWCAST_TESTS_UNIT_FOLDER_H
#define ROWCAST_TESTS_UNIT_FOLDER_H

#define FOLDER_MAX 64

/* Makes /tmp/rowcast-NAME.XXXXXX and writes its path to `folder`. Returns 0, or -1. */
int folder_make(char folder[FOLDER_MAX], const char *name);

/* With all that is in it; links are not followed. */
void folder_remove(const char *folder);

#endif
