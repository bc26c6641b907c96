/* plan.h - what a definition is to become, for track/apply.c. */
#ifndef ROWCAST_TRACK_PLAN_H
#define ROWCAST_TRACK_PLAN_H

#include "track/internal.h"

/* As in "cannot track the table". */
#define TRACK_DOING "track the table"

/* What is to be, beside what is. */
struct track_plan {
    struct track *track;
    bool was_tracked;
    char *old_definition; /* the statement that would write it; NULL: none */
    char *old_reset;      /* the event for readers of that one; NULL: none */
};

/* Within a transaction. *plan must be given to track_plan_fini whatever the result. STORE_REFUSED:
 * what was asked for does not fit the table, or another definition. */
enum store_result track_plan_make(struct store *store, const struct track_request *request,
                                  struct track_plan *plan, struct error *error);
void track_plan_fini(struct track_plan *plan);

/* The statement that writes the definition, for sqlite3_free; NULL: out of memory. */
char *track_definition_text(const struct track_definition *definition);

/* *text: the statement that makes the event for readers of that definition, for sqlite3_free. */
enum store_result track_reset_text(struct store *store,
                                   const struct track_definition *definition, char **text,
                                   struct error *error);

#endif
