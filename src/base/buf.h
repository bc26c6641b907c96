/* buf.h - a byte buffer that grows.
 *
 * When memory runs out, `failed` is set and later appends do nothing. So the caller of several
 * appends checks once, at the end. */
#ifndef ROWCAST_BASE_BUF_H
#define ROWCAST_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Zero-initialise (`struct buf b = {0}`); free with buf_fini. The bytes do not end in NUL. */
struct buf {
    char *p;
    size_t len;
    size_t cap;
    bool failed; /* out of memory: the content is not complete */
};

void buf_append(struct buf *buf, const void *bytes, size_t len);
void buf_append_text(struct buf *buf, const char *text);
void buf_append_int(struct buf *buf, int64_t value); /* in decimal */
void buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for `len` more bytes. Returns where the caller may write them, NULL when out of
 * memory. The caller adds the number of bytes that it wrote to buf->len. */
char *buf_reserve(struct buf *buf, size_t len);

/* Empties the buffer, keeps its memory and resets `failed`. */
void buf_clear(struct buf *buf);

/* Frees the memory; the buffer is then empty and usable again. */
void buf_fini(struct buf *buf);

static inline struct slice
buf_slice(const struct buf *buf)
{
    return (struct slice){buf->p != NULL ? buf->p : "", buf->len};
}

#endif
