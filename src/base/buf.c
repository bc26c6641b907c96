/* buf.c - the growing byte buffer; growth is by doubling, so appends cost O(1) on average. */
#include "config.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_CAP 256

char *
buf_reserve(struct buf *buf, size_t len)
{
    if (buf->failed)
        return NULL;
    if (len <= buf->cap - buf->len && buf->p != NULL)
        return buf->p + buf->len;

    size_t cap = buf->cap == 0 ? BUF_FIRST_CAP : buf->cap;
    while (cap - buf->len < len) {
        if (cap > SIZE_MAX / 2) {
            buf->failed = true;
            return NULL;
        }
        cap *= 2;
    }
    char *p = realloc(buf->p, cap);
    if (p == NULL) {
        buf->failed = true;
        return NULL;
    }
    buf->p = p;
    buf->cap = cap;
    return buf->p + buf->len;
}

void
buf_append(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    char *to = buf_reserve(buf, len);
    if (to == NULL)
        return;
    memcpy(to, bytes, len);
    buf->len += len;
}

void
buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void
buf_append_int(struct buf *buf, int64_t value)
{
    char digits[24];
    char *p = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0)
        *--p = '-';
    buf_append(buf, p, (size_t)(digits + sizeof digits - p));
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
        return;
    }
    char *to = buf_reserve(buf, (size_t)len + 1);
    if (to == NULL)
        return;
    va_start(args, format);
    vsnprintf(to, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void
buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

void
buf_fini(struct buf *buf)
{
    free(buf->p);
    *buf = (struct buf){0};
}
