/* json.h - a JSON string (RFC 8259 section 7) from any bytes. */
#ifndef ROWCAST_BASE_JSON_H
#define ROWCAST_BASE_JSON_H

#include "base/buf.h"
#include "base/slice.h"

/* True when the bytes are valid UTF-8. */
bool utf8_is_valid(struct slice bytes);

/* Appends the bytes as valid UTF-8: each bad sequence becomes U+FFFD. The Encoding standard's
 * decoder says where a bad sequence ends ("maximal subparts"). */
void utf8_append(struct buf *buf, struct slice bytes);

/* Appends the bytes as a JSON string with its quotes. Bad UTF-8 becomes U+FFFD. The string has no
 * character at which any program ends a line: U+0085, U+2028 and U+2029 are escaped too. */
void json_append_string(struct buf *buf, struct slice bytes);

#endif
