/* base64url.h - bytes as text in the alphabet of RFC 4648 section 5, without padding. Pure. */
#ifndef ROWCAST_BASE_BASE64URL_H
#define ROWCAST_BASE_BASE64URL_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends the bytes as text; without bytes it appends nothing. */
void base64url_append(struct buf *buf, const void *bytes, size_t len);

/* Appends the bytes that the text stands for. Returns 0, or -1 when no encoder writes such a text:
 * it is empty, has a character outside of the alphabet, or ends with spare bits that are not zero.
 * So each value has one spelling. out->failed says whether memory ran out. After -1, *out may have
 * some of the bytes. */
int base64url_decode(struct buf *out, struct slice text);

#endif
