/* follower.h - what `rowcast doctor` says of a database that follows a log in PostgreSQL. */
#ifndef ROWCAST_DOCTOR_FOLLOWER_H
#define ROWCAST_DOCTOR_FOLLOWER_H

#include "doctor/doctor.h"
#include "store/store.h"

/* From the file alone: what it follows, how old it is, what was refused. Says nothing of a file
 * that follows nothing. */
void doctor_judge_follower(struct store *store, struct doctor_report *report);

/* Asks PostgreSQL: reach, rights, version, numbering, delay, clock; and where path is not NULL,
 * whether that file follows it. */
void doctor_judge_log(const char *url, const char *table, const char *path,
                      struct doctor_report *report);

#endif
