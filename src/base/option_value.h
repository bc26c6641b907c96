/* base/option_value.h - values of options: parsing, ranges, and what an error says of them. */
#ifndef BASE_OPTION_VALUE_H
#define BASE_OPTION_VALUE_H

#include "base/options.h"

/* Where the fields are, and where an error goes. */
struct option_target {
    char *settings;
    struct error *error;
};

/* Where a value comes from, as an error names it: "--heartbeat" or "ROWCAST_HEARTBEAT". */
struct option_origin {
    const char *prefix;
    const char *name;
};

/* Gives the field the value that means "not given". */
void option_clear(const struct option_target *target, const struct option *option);

/* Sets the field, or appends to a list. `value` must outlive the settings. Returns 0, or -1 with an
 * error that names the origin, the range and an example. */
int option_set(const struct option_target *target, const struct option *option,
               struct option_origin origin, const char *value);

/* The same from one text that is the whole value: a list's items are separated by blanks, as in the
 * environment and in defaults. A list's text is copied and kept for the life of the process. */
int option_set_whole(const struct option_target *target, const struct option *option,
                     struct option_origin origin, const char *value);

#endif
