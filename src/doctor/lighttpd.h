/* lighttpd.h - what only lighttpd's configuration can tell. */
#ifndef ROWCAST_DOCTOR_LIGHTTPD_H
#define ROWCAST_DOCTOR_LIGHTTPD_H

#include <stdint.h>

#include "doctor/doctor.h"
#include "base/slice.h"

/* Runs `lighttpd -tt -f file` and `lighttpd -p -f file` (which run what an include_shell in it
 * says, as lighttpd itself would) and judges what it prints. `streams`: how many pages are to
 * be open at once. */
void doctor_judge_lighttpd(const char *file, int64_t streams, struct doctor_report *report);

/* The judging alone: text is what lighttpd -p printed. Pure. */
void doctor_judge_lighttpd_text(struct slice text, int64_t streams,
                                struct doctor_report *report);

#endif
