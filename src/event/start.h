/* start.h - where a stream begins, as the request says it. Pure. */
#ifndef ROWCAST_EVENT_START_H
#define ROWCAST_EVENT_START_H

enum start_kind {
    START_TAIL, /* only what is new */
    START_AFTER, /* rows with id > value (Last-Event-ID, last_event_id=, since=ID); an id that
                  * does not fit 64 bits is INT64_MAX, so "above every id" */
    START_BAD_ID, /* a Last-Event-ID that is not a decimal number */
    START_ALL,    /* since=all */
    START_AGE,    /* since=AGE: value is the age in milliseconds */
    START_LAST    /* last=N: value is N, 1 .. 1000 */
};

#endif
