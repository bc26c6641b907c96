/* terminal.c - rows may have been written by anybody; an escape sequence in one could retitle the
 * window, hide lines, or make the terminal type an answer. tail.c calls it when its output is a
 * terminal: a file or a program gets every byte as it is. */
#include "config.h"

#include "cmd/terminal.h"

#include <stdbool.h>

/* The length of the character at p in UTF-8 (RFC 3629, without its finer rules); 0: it is none. */
static size_t
character_len(const unsigned char *p, size_t len)
{
    size_t want = p[0] < 0x80    ? 1
                  : p[0] >= 0xf0 ? 4
                  : p[0] >= 0xe0 ? 3
                  : p[0] >= 0xc2 ? 2
                                 : 0;
    if (want > len || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return want;
}

static bool
is_direction(const unsigned char *p)
{
    /* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069 */
    return p[0] == 0xe2 && ((p[1] == 0x80 && ((p[2] >= 0xa8 && p[2] <= 0xae) ||
                                              p[2] == 0x8e || p[2] == 0x8f)) ||
                            (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

static bool
is_harmless(const unsigned char *p, size_t len)
{
    switch (len) {
    case 0:
        return false;
    case 1:
        return (p[0] >= ' ' && p[0] != 0x7f) || p[0] == '\n' || p[0] == '\t';
    case 2:
        return p[0] != 0xc2 || p[1] >= 0xa0;
    case 3:
        return !is_direction(p);
    default:
        return true;
    }
}

void
terminal_append(struct buf *out, struct slice text)
{
    const unsigned char *p = (const unsigned char *)text.p;
    for (size_t left = text.len; left > 0;) {
        size_t len = character_len(p, left);
        bool harmless = is_harmless(p, len);
        len = len == 0 ? 1 : len;
        if (harmless)
            buf_append(out, p, len);
        for (size_t i = 0; !harmless && i < len; i++)
            buf_printf(out, "\\x%02x", p[i]);
        p += len;
        left -= len;
    }
}
