/* accept.h - which of our representations does the Accept header want? Pure.
 *
 * RFC 9110 section 12.5.1. */
#ifndef ROWCAST_HTTP_ACCEPT_H
#define ROWCAST_HTTP_ACCEPT_H

/* Picks from `types` ("text/html", in our own order of preference, NULL-terminated, at most 8)
 * and returns the index, or -1 when none is acceptable.
 *
 * For each type the most specific range that matches it gives its quality (of several such the
 * highest); 0 excludes it. The
 * highest quality wins; among equals the type that was named more specifically, then the one
 * whose range stands first in the header, then our order. No header (NULL) or an empty one
 * accepts everything. Parameters other than q are ignored; a range that is not well-formed
 * is passed over. */
int accept_choose(const char *header, const char *const *types);

#endif
