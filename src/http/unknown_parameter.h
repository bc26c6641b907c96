/* unknown_parameter.h - query parameters that have no rule: which are ignored, and what is said of
 * the others. Pure, no I/O. */
#ifndef ROWCAST_HTTP_UNKNOWN_PARAMETER_H
#define ROWCAST_HTTP_UNKNOWN_PARAMETER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* What pages and libraries add to a URL so that no cache answers it, names that begin with `_`, and
 * the empty name between two `&`. doc/PROTOCOL.md has the list. */
bool unknown_parameter_is_ignored(const char *name);

/* Any other is refused: were `chanel=orders` ignored, the reader would get all channels. *error
 * names the nearest of `names`, or says how the application may have parameters of its own. */
void unknown_parameter_explain(const char *name, const char *const *names, size_t count,
                               struct error *error);

#endif
