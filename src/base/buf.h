/* buf.h - a byte buffer that grows.
 *
 * A failed allocation is remembered in `failed` and later appends do nothing, so that a
 * chain of appends is checked once, at its end. */
#ifndef ROWCAST_BASE_BUF_H
#define ROWCAST_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Zero-initialise (`struct buf b = {0}`); give back with buf_fini. */
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

/* Makes room for `len` more bytes and returns where they go, NULL when out of memory. The
 * caller writes there and adds to buf->len what it wrote. */
char *buf_reserve(struct buf *buf, size_t len);

/* Empties the buffer and keeps its memory. */
void buf_clear(struct buf *buf);

/* Frees the memory; the buffer is then empty and usable again. */
void buf_fini(struct buf *buf);

static inline struct slice
buf_slice(const struct buf *buf)
{
    return (struct slice){buf->p != NULL ? buf->p : "", buf->len};
}

#endif
