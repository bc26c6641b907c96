/* next_row.h - the search for the next row that a subscription's user gets as a message.
 *
 * push/deliver.c searches when a subscription may start a message, and makes the message from the
 * row. */
#ifndef ROWCAST_PUSH_NEXT_ROW_H
#define ROWCAST_PUSH_NEXT_ROW_H

#include "push/sender_state.h"

/* Takes what it needs from the row, which is valid during the call. Returns 0, or -1 when out of
 * memory. */
typedef int (*next_row_fn)(void *arg, const struct row *row);

struct next_row {
    struct sender *sender;
    struct subscriber *subscriber;
    next_row_fn take; /* called at most once */
    void *arg;

    /* The result: */
    bool is_stored;  /* the table still has the subscription */
    bool is_taken;   /* the row was found, and `take` has returned 0 */
    bool must_wait;  /* search again at the subscriber's due_ms */
    bool has_passed; /* the cursor has passed a row that its filter lets through */
};

/* Reads the subscription from the table, then rows, and moves the cursor up to the row before the
 * one that is taken. Without such a row it moves as far as this search has read; the rest needs
 * another search. Other results than STORE_OK: the database is locked, or broken (*error). Waits
 * for a lock as long as the sender's connection does (50 ms). */
enum store_result next_row_find(struct next_row *search, struct error *error);

#endif
