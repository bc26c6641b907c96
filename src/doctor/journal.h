/* journal.h - is it WAL, and does the write-ahead log get back into the database? */
#ifndef ROWCAST_DOCTOR_JOURNAL_H
#define ROWCAST_DOCTOR_JOURNAL_H

#include "doctor/doctor.h"

/* Takes about a second where a reader seems to hold checkpoints back. */
void doctor_judge_journal(const char *path, struct doctor_report *report);

#endif
