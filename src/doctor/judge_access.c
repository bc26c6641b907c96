/* judge_access.c - who may read what at this URL?
 *
 * Called by doctor/judge.c. Two requests prove it, both for /whoami: one without any login, and one
 * with a login and with headers that doctor has made up. A stream is never opened for it. */
#include "config.h"

#include "doctor/internal.h"

#include <stdio.h>
#include <string.h>

static bool
says(const struct http_answer *answer, const char *text)
{
    return answer->status == 200 && strstr(answer->body, text) != NULL;
}

static bool
is_whoami(const struct http_answer *answer)
{
    return says(answer, "{\"user\":") && strstr(answer->body, "\"bounds\":[") != NULL;
}

/* The name that doctor made up is the user's: by the login, or with a suffix by a header. */
static bool
took_name(const struct http_evidence *evidence, const char *suffix)
{
    char text[EVENTS_WORD_MAX + 32];

    snprintf(text, sizeof text, "\"user\":\"%s%s\"", evidence->made_up_name, suffix);
    return says(&evidence->made_up, text);
}

static const char *
publishing(const struct http_answer *answer)
{
    return says(answer, "\"publish\":true") ? ", and publish" : "";
}

/* True when a claim was believed. */
static bool
judge_claims(const struct judge *judge)
{
    const struct http_evidence *evidence = judge->evidence;

    if (took_name(evidence, ""))
        judge_problem(judge, "access", FAULT_CLAIM,
                      "a made-up login, with a made-up password, is taken for that user: "
                      "rows with a recipient go to anybody who claims the name");
    else if (took_name(evidence, HTTP_HEADER_SUFFIX))
        judge_problem(judge, "access", FAULT_CLAIM,
                      "a request header such as Remote-User or X-User sets the user: rows "
                      "with a recipient go to anybody who sends it");
    else
        return false;
    return true;
}

/* Without a login there is no answer from rowcast. */
static void
judge_refused(const struct judge *judge)
{
    const struct http_answer *anonymous = &judge->evidence->anonymous;
    bool by_rowcast = strncmp(anonymous->body, "a ticket is needed", 18) == 0;

    if (is_whoami(&judge->evidence->made_up))
        judge_problem(judge, "access", FAULT_CLAIM,
                      "a login is asked for, and a made-up one with a made-up password is "
                      "let in");
    else
        doctor_find(judge->report, (struct doctor_head){"access", DOCTOR_OK, NULL},
                    by_rowcast ? "only who has a ticket may read (status %d without one)"
                               : "only who logs in may read (status %d without a login and "
                                 "with a made-up one)",
                    anonymous->status);
}

static void
judge_open(const struct judge *judge)
{
    const struct http_answer *anonymous = &judge->evidence->anonymous;
    const char *publish = publishing(anonymous);

    if (says(anonymous, "\"bounds\":[]"))
        doctor_find(judge->report,
                    (struct doctor_head){
                        "access", DOCTOR_NOTE,
                        "If that is not meant: a login, ROWCAST_CHANNELS or tickets, as in "
                        "the shipped configurations."},
                    "everybody may read every channel%s; rows with a recipient reach "
                    "no user without a login",
                    publish);
    else
        doctor_find(judge->report, (struct doctor_head){"access", DOCTOR_OK, NULL},
                    "everybody may read the channels in ROWCAST_CHANNELS and no other%s",
                    publish);
    if (!says(anonymous, "\"user\":null"))
        doctor_find(judge->report,
                    (struct doctor_head){"access", DOCTOR_WARNING,
                                         doctor_remedy(FAULT_CLAIM, judge->server)},
                    "everybody is the same user, without a login: %.*s",
                    (int)strcspn(anonymous->body, "\n"), anonymous->body);
}

void
judge_access(const struct judge *judge)
{
    const struct http_answer *anonymous = &judge->evidence->anonymous;

    if (!anonymous->asked || judge_claims(judge))
        return;
    if (is_whoami(anonymous))
        judge_open(judge);
    else if (anonymous->status == 401 || anonymous->status == 403)
        judge_refused(judge);
    else if (anonymous->status == 404)
        doctor_find(judge->report, (struct doctor_head){"access", DOCTOR_NOTE, NULL},
                    "who may read what is not known: this rowcast has no /whoami yet");
}
