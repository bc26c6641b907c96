/* option_value.h - values of options: parsing, ranges, and the errors about them. */
#ifndef BASE_OPTION_VALUE_H
#define BASE_OPTION_VALUE_H

#include "base/options.h"

/* What a setter writes to: the struct with the fields, and the error. */
struct option_target {
    char *settings;
    struct error *error;
};

/* The source of a value, as an error names it: "--heartbeat" or "ROWCAST_HEARTBEAT". */
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

/* The same, but the text is the option's whole value, from the environment or the table's
 * default: a list's items are separated by spaces and replace the list, which owns a copy of the
 * text. */
int option_set_whole(const struct option_target *target, const struct option *option,
                     struct option_origin origin, const char *value);

#endif
