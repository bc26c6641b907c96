/* apache.h - what only Apache's configuration can tell. */
#ifndef ROWCAST_DOCTOR_APACHE_H
#define ROWCAST_DOCTOR_APACHE_H

#include <stdint.h>

#include "base/slice.h"
#include "doctor/doctor.h"

/* Runs `apache2ctl -f file` to print its configuration (mod_info) and judges whether the events
 * leave workers for the rest of the site. served_max: --max-streams of the `rowcast serve` that
 * serves the database; 0: none, or not known. */
void doctor_judge_apache(const char *file, int64_t served_max,
                         struct doctor_report *report);

/* The judging alone: text is what Apache printed. Pure. */
void doctor_judge_apache_text(struct slice text, int64_t served_max,
                              struct doctor_report *report);

#endif
