/* base64url.h - bytes as text in the alphabet of RFC 4648 section 5, without padding. Pure. */
#ifndef ROWCAST_BASE_BASE64URL_H
#define ROWCAST_BASE_BASE64URL_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends the bytes as text; nothing for no bytes. */
void base64url_append(struct buf *buf, const void *bytes, size_t len);

/* Appends the bytes that the text stands for. Returns 0, or -1 when an encoder would not have
 * written that text: it is empty, has a character of no digit, or bits left over at its end that
 * are not zero. So each value has one spelling. Memory that ran out shows in out->failed. */
int base64url_decode(struct buf *out, struct slice text);

#endif
