/* json.c - UTF-8 repair and JSON strings.
 *
 * Not with jansson: it builds an object for each value, and refuses text that is not UTF-8
 * instead of repairing it. This code runs once for each row. So the common case, text that
 * needs no escape, is one scan and one copy. */
#include "config.h"

#include "base/json.h"

#include <stdint.h>
#include <unistr.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* How many bytes at the start are ASCII; may stop up to seven bytes early. It takes eight bytes at
 * a step, as most rows are only ASCII and u8_check takes one byte at a step. */
static size_t
ascii_prefix(struct slice bytes)
{
    size_t len = 0;

    for (; bytes.len - len >= sizeof(uint64_t); len += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes.p + len, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return len;
}

/* How many bytes at the start are valid UTF-8. */
static size_t
valid_prefix(struct slice bytes)
{
    size_t ascii = ascii_prefix(bytes);
    if (ascii == bytes.len)
        return ascii;
    const uint8_t *bad = u8_check((const uint8_t *)bytes.p + ascii, bytes.len - ascii);
    return bad == NULL ? bytes.len : (size_t)(bad - (const uint8_t *)bytes.p);
}

bool
utf8_is_valid(struct slice bytes)
{
    return valid_prefix(bytes) == bytes.len;
}

/* The range of the second byte excludes overlong forms, surrogates and numbers above U+10FFFF
 * (Unicode standard, table 3-7). */
static void
second_byte_range(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
}

/* The length of the bad sequence at the start: the longest prefix of a good sequence, else one
 * byte (a "maximal subpart", which the Encoding standard's UTF-8 decoder replaces). */
static size_t
bad_length(struct slice bytes)
{
    unsigned char lead = (unsigned char)bytes.p[0];
    size_t want;

    if (lead >= 0xC2 && lead <= 0xDF)
        want = 2;
    else if (lead >= 0xE0 && lead <= 0xEF)
        want = 3;
    else if (lead >= 0xF0 && lead <= 0xF4)
        want = 4;
    else
        return 1;

    unsigned char low, high;
    second_byte_range(lead, &low, &high);
    size_t len = 1;
    while (len < want && len < bytes.len) {
        unsigned char byte = (unsigned char)bytes.p[len];
        if (byte < low || byte > high)
            break;
        low = 0x80;
        high = 0xBF;
        len++;
    }
    return len;
}

/* Moves the valid text at the start of *bytes to *valid, and skips the bad sequence behind it.
 * Returns false when no bad sequence follows. */
static bool
cut_valid(struct slice *bytes, struct slice *valid)
{
    *valid = (struct slice){bytes->p, valid_prefix(*bytes)};
    bytes->p += valid->len;
    bytes->len -= valid->len;
    if (bytes->len == 0)
        return false;

    size_t bad = bad_length(*bytes);
    bytes->p += bad;
    bytes->len -= bad;
    return true;
}

void
utf8_append(struct buf *buf, struct slice bytes)
{
    while (bytes.len > 0) {
        struct slice valid;
        bool bad = cut_valid(&bytes, &valid);
        buf_append(buf, valid.p, valid.len);
        if (bad)
            buf_append_text(buf, REPLACEMENT);
    }
}

static bool
is_control(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* JSON allows U+0085, U+2028 and U+2029 in a string, but many languages end a line there (Python's
 * str.splitlines). That would cut a row in two. */
static const struct line_end {
    const char *bytes, *escape;
} line_ends[] = {
    {"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}};

/* The line end at the start of the text, or NULL. */
static const struct line_end *
find_line_end(struct slice text)
{
    for (size_t i = 0; i < sizeof line_ends / sizeof *line_ends; i++) {
        size_t len = strlen(line_ends[i].bytes);
        if (text.len >= len && memcmp(text.p, line_ends[i].bytes, len) == 0)
            return &line_ends[i];
    }
    return NULL;
}

static void
append_control(struct buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                   ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};

    if (letters[c] != '\0') {
        char text[] = {'\\', letters[c]};
        buf_append(buf, text, sizeof text);
    } else {
        char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_append(buf, text, sizeof text);
    }
}

/* Surely needs no escape: true for nearly every byte of a row. 0xC2 and 0xE2 may begin one of the
 * line ends. */
static bool
is_plain(unsigned char c)
{
    return !is_control(c) && c != 0xC2 && c != 0xE2;
}

/* Appends valid UTF-8; each run of bytes that need no escape is one copy. */
static void
append_escaped(struct buf *buf, struct slice text)
{
    size_t run = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (is_plain(c))
            continue;
        const struct line_end *line_end =
            find_line_end((struct slice){text.p + i, text.len - i});
        if (line_end == NULL && !is_control(c))
            continue;
        buf_append(buf, text.p + run, i - run);
        if (line_end != NULL) {
            buf_append_text(buf, line_end->escape);
            i += strlen(line_end->bytes) - 1;
        } else {
            append_control(buf, c);
        }
        run = i + 1;
    }
    buf_append(buf, text.p + run, text.len - run);
}

void
json_append_string(struct buf *buf, struct slice bytes)
{
    buf_append(buf, "\"", 1);
    while (bytes.len > 0) {
        struct slice valid;
        bool bad = cut_valid(&bytes, &valid);
        append_escaped(buf, valid);
        if (bad)
            buf_append_text(buf, REPLACEMENT);
    }
    buf_append(buf, "\"", 1);
}
