/* run.h - has another program print what it makes of its configuration. */
#ifndef ROWCAST_DOCTOR_RUN_H
#define ROWCAST_DOCTOR_RUN_H

#include "base/buf.h"

/* Runs argv (NULL-terminated), looked for in PATH and then in /usr/sbin, without a shell, and
 * appends to text what it writes to its standard output and standard error: some MiB at the
 * most, the rest ends the program. Waits for its end. Returns the exit status, 127 when it is
 * not there, -1 when it could not be run or did not exit. */
int doctor_run(const char *const *argv, struct buf *text);

#endif
