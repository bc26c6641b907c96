/* events.h - what an event stream says, and when each thing arrived. Pure.
 *
 * Not a reader of events: it keeps just what doctor judges from (doc/PROTOCOL.md, The event
 * stream). Times are milliseconds since the request was begun; -1: not yet. */
#ifndef ROWCAST_DOCTOR_EVENTS_H
#define ROWCAST_DOCTOR_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define EVENTS_LINE_MAX 512 /* what is longer is cut: none of our own lines is */
#define EVENTS_WORD_MAX 80

/* Initialise with doctor_events_init. */
struct doctor_events {
    int64_t opening_ms;               /* the block rowcast:open was complete */
    int64_t ping_ms;                  /* the first event rowcast:ping was complete */
    int64_t beat_ms;                  /* the first heartbeat as a comment */
    int64_t probe_ms;                 /* the row with the id `probe` was complete */
    char opening_id[EVENTS_WORD_MAX]; /* the id that the stream begins at */
    unsigned rows;                    /* other events: rows */
    char probe[EVENTS_WORD_MAX];      /* set by the caller: an id to wait for, or "" */
    char said[EVENTS_WORD_MAX]; /* the last comment with words in it, after "connected" */

    /* the block that is being read */
    char line[EVENTS_LINE_MAX];
    unsigned line_len;
    bool has_data;
    char id[EVENTS_WORD_MAX], event[EVENTS_WORD_MAX];
};

void doctor_events_init(struct doctor_events *events);

/* Takes bytes of the body as they come, in pieces of any size. */
void doctor_events_feed(struct doctor_events *events, struct slice bytes, int64_t now_ms);

#endif
