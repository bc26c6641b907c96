/* base64url.c - encoding and strict decoding; see base/base64url.h.
 *
 * Called for the parts of tickets (access/token.c) and for the keys of Web Push (push/). */
#include "config.h"

#include "base/base64url.h"

#include <stdint.h>

void
base64url_append(struct buf *buf, const void *bytes, size_t len)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *p = bytes;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | p[i]) & 0xffff;
        for (count += 8; count >= 6; count -= 6)
            buf_append(buf, &digits[bits >> (count - 6) & 63], 1);
    }
    if (count > 0)
        buf_append(buf, &digits[bits << (6 - count) & 63], 1);
}

/* 0 to 63, or -1. */
static int
digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int
base64url_decode(struct buf *out, struct slice text)
{
    uint32_t bits = 0;
    int count = 0;
    if (text.len == 0 || text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.p[i]);
        if (digit < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)digit) & 0xfff;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        char byte = (char)(unsigned char)(bits >> count & 0xff);
        buf_append(out, &byte, 1);
    }
    return (bits & ((1U << count) - 1)) == 0 ? 0 : -1;
}
