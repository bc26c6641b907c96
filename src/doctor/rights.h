/* rights.h - may this process read and write the database, and all that belongs to it? */
#ifndef ROWCAST_DOCTOR_RIGHTS_H
#define ROWCAST_DOCTOR_RIGHTS_H

#include <stdbool.h>

#include "doctor/doctor.h"

/* Judges the rights of this process, which runs as the user `who`. False: it cannot even read the
 * file, so there is nothing more to look at. */
bool doctor_judge_rights(const char *path, const char *who, struct doctor_report *report);

#endif
