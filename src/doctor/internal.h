/* internal.h - what the files that judge the URL share. */
#ifndef ROWCAST_DOCTOR_INTERNAL_H
#define ROWCAST_DOCTOR_INTERNAL_H

#include "doctor/judge.h"
#include "doctor/remedy.h"

struct judge {
    const struct http_evidence *evidence;
    struct doctor_report *report;
    enum doctor_server server;
};

/* Adds a problem with the fault's remedy. */
void judge_problem(const struct judge *judge, const char *check, enum doctor_fault fault,
                   const char *seen);

/* --- doctor/judge_stream.c --- */

/* Opening, events, silence, query and resuming, of a stream that was answered with 200 or not at
 * all. */
void judge_stream(const struct judge *judge);

/* --- doctor/judge_access.c --- */

/* Who may read what, and whether a made-up login is believed. */
void judge_access(const struct judge *judge);

#endif
