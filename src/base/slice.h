/* slice.h - a view of bytes that another object owns. */
#ifndef ROWCAST_BASE_SLICE_H
#define ROWCAST_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* p == NULL is SQL's NULL, which differs from an empty text (p != NULL, len 0).
 * The bytes need not end in NUL and may hold any value, NUL included. */
struct slice {
    const char *p;
    size_t len;
};

static inline struct slice
slice_of(const char *text)
{
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

/* NULL equals only NULL, as with SQL's IS. */
static inline bool
slice_equal(struct slice a, struct slice b)
{
    if (a.p == NULL || b.p == NULL)
        return a.p == b.p;
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Without spaces and tabs at either end. */
static inline struct slice
slice_trim(struct slice text)
{
    while (text.len > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
        text = (struct slice){text.p + 1, text.len - 1};
    while (text.len > 0 && (text.p[text.len - 1] == ' ' || text.p[text.len - 1] == '\t'))
        text.len--;
    return text;
}

#endif
