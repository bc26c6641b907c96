/* db.h - the database's part of `rowcast doctor`. */
#ifndef ROWCAST_DOCTOR_DB_H
#define ROWCAST_DOCTOR_DB_H

#include <stdint.h>

#include "doctor/doctor.h"
#include "base/error.h"
#include "store/store.h"

struct doctor_database {
    const char *path;
    const char *table;
    const char *
        user; /* judge for this user; NULL: for the one who serves it, else for the one who asks */
    int64_t streams; /* how many pages are to be open at once */
};

/* Looks at who serves the database, and at the database as that user would see it; as root it
 * becomes that user in a child. Writes nothing and makes no file. Takes some seconds at the
 * most, and waits 2 s where it is locked. Returns 0, or -1 with *error when `user` is
 * wrong or no process can be made. */
int doctor_check_database(const struct doctor_database *database,
                          struct doctor_report *report, struct error *error);

/* --- doctor/table.c: in the child, with the user's rights ---------------------------- */

/* Rights, journal, log, table and marks. `who`: the user's name for a person. */
void doctor_look_at_database(const struct doctor_database *database, const char *who,
                             struct doctor_report *report);

#endif
