/* unknown_parameter.c - names that the table of http/stream_params.c does not have; see
 * http/unknown_parameter.h. */
#include "config.h"

#include "http/unknown_parameter.h"

#include <string.h>

#include "base/nearest.h"
#include "base/parse_number.h"

bool
unknown_parameter_is_ignored(const char *name)
{
    static const char *const names[] = {
        "", "cb", "nocache", "r", "rand", "t", "ts", "v", "org.htmx.cache-buster"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return *name == '_';
}

void
unknown_parameter_explain(const char *name, const char *const *names, size_t count,
                          struct error *error)
{
    char quoted[PARSE_QUOTED_MAX];
    const char *nearest = nearest_find(name, names, count);
    if (nearest != NULL)
        error_set(error, "unknown parameter %s: did you mean %s?",
                  parse_quote(quoted, name), nearest);
    else
        error_set(error, "unknown parameter %s: leave it out, or let its name begin with _",
                  parse_quote(quoted, name));
}
