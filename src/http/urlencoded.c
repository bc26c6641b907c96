/* urlencoded.c - cutting and decoding query strings, for http/request.c. */
#include "config.h"

#include "http/urlencoded.h"

bool
urlencoded_next(struct slice *query, struct urlencoded_pair *pair)
{
    while (query->len > 0) {
        const char *amp = memchr(query->p, '&', query->len);
        struct slice text = {query->p, amp != NULL ? (size_t)(amp - query->p) : query->len};
        size_t taken = amp != NULL ? text.len + 1 : text.len;
        query->p += taken;
        query->len -= taken;
        if (text.len == 0)
            continue;

        const char *equals = memchr(text.p, '=', text.len);
        size_t name_len = equals != NULL ? (size_t)(equals - text.p) : text.len;
        size_t value_at = equals != NULL ? name_len + 1 : text.len;
        pair->name = (struct slice){text.p, name_len};
        pair->value = (struct slice){text.p + value_at, text.len - value_at};
        return true;
    }
    return false;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that the escape `%XX` at text[at] stands for; -1: broken. */
static int
escaped_byte(struct slice text, size_t at)
{
    if (text.len - at < 3)
        return -1;
    int high = hex_value(text.p[at + 1]);
    int low = hex_value(text.p[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int
urlencoded_decode(char *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int byte = (unsigned char)text.p[i];
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            byte = escaped_byte(text, i);
            i += 2;
        }
        if (byte <= 0)
            return -1;
        *out++ = (char)byte;
    }
    *out = '\0';
    return 0;
}
