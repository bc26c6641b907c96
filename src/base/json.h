/* json.h - text as a JSON string (RFC 8259 section 7), from bytes that may be anything. */
#ifndef ROWCAST_BASE_JSON_H
#define ROWCAST_BASE_JSON_H

#include "base/buf.h"
#include "base/slice.h"

/* True when the bytes are valid UTF-8 as they stand. */
bool utf8_is_valid(struct slice bytes);

/* Appends the bytes as valid UTF-8: each bad sequence (as the Encoding standard's decoder cuts
 * them: "maximal subparts") becomes U+FFFD. */
void utf8_append(struct buf *buf, struct slice bytes);

/* Appends a quoted, escaped JSON string of the bytes; what is not UTF-8 becomes U+FFFD. No
 * character in it ends a line for anybody: U+0085, U+2028 and U+2029 are escaped too. */
void json_append_string(struct buf *buf, struct slice bytes);

#endif
