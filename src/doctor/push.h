/* push.h - what `rowcast doctor` says of subscriptions to Web Push. */
#ifndef ROWCAST_DOCTOR_PUSH_H
#define ROWCAST_DOCTOR_PUSH_H

#include "doctor/doctor.h"
#include "store/store.h"

/* From the database alone: how many subscriptions there are, which fail and why, and whether a
 * sender runs. Adds no finding where no browser has subscribed. */
void doctor_judge_push(struct store *store, struct doctor_report *report);

#endif
