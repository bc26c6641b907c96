/* urlencoded.h - the pairs of a query string, percent-decoded. Pure.
 *
 * As browsers write it (application/x-www-form-urlencoded, URL standard section 5.1): pairs
 * separated by `&`, `+` is a space, `%XX` a byte. Unlike there a broken escape is an error. */
#ifndef ROWCAST_HTTP_URLENCODED_H
#define ROWCAST_HTTP_URLENCODED_H

#include <stdbool.h>

#include "base/slice.h"

struct urlencoded_pair {
    struct slice name; /* both still encoded; value is empty where there is no `=` */
    struct slice value;
};

/* Cuts the next pair off the front of *query; false at its end. Empty pairs are skipped. */
bool urlencoded_next(struct slice *query, struct urlencoded_pair *pair);

/* Decodes text into out (which has room for text.len + 1 bytes), NUL-terminated. Returns 0, or
 * -1 on a broken escape or one that stands for NUL. */
int urlencoded_decode(char *out, struct slice text);

#endif
