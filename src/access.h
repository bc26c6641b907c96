/* access.h - may this requester read what it asks for? DESIGN.md section 5. */
#ifndef ROWCAST_ACCESS_H
#define ROWCAST_ACCESS_H

#include "error.h"
#include "request.h"

/* Returns 0, or the HTTP status of the refusal (403) with its line in *error. What is left
 * of patterns is judged row by row: filter_matches asks every bound. */
int access_check(const struct request *request, struct error *error);

#endif
