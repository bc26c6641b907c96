/* judge.h - from the evidence of the URL to findings. Pure. */
#ifndef ROWCAST_DOCTOR_JUDGE_H
#define ROWCAST_DOCTOR_JUDGE_H

#include "doctor/doctor.h"
#include "doctor/http.h"

/* Adds to the report what the evidence proves, and as a note what it leaves open. The remedies are
 * those of the server that the answers name. */
void doctor_judge(const struct http_evidence *evidence, struct doctor_report *report);

#endif
