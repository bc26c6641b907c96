/* pairs.c - reads the name-value pairs of FastCGI; see fastcgi/pairs.h. */
#include "config.h"

#include "fastcgi/pairs.h"

#include <string.h>

/* Reads one length of a name-value pair (specification section 3.4). Returns the bytes it took,
 * 0 when they are not there. */
static size_t
read_len(const unsigned char *p, size_t left, size_t *value)
{
    if (left >= 1 && p[0] < 0x80) {
        *value = p[0];
        return 1;
    }
    if (left < 4)
        return 0;
    *value = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return 4;
}

bool
pairs_next(struct slice *pairs, struct slice *name, struct slice *value)
{
    const unsigned char *p = (const unsigned char *)pairs->p;
    size_t name_len = 0;
    size_t value_len = 0;
    size_t first = read_len(p, pairs->len, &name_len);
    if (first == 0)
        return false;
    size_t second = read_len(p + first, pairs->len - first, &value_len);
    if (second == 0)
        return false;
    size_t left = pairs->len - first - second;
    if (name_len > left || value_len > left - name_len)
        return false;

    *name = (struct slice){pairs->p + first + second, name_len};
    *value = (struct slice){name->p + name_len, value_len};
    size_t used = first + second + name_len + value_len;
    pairs->p += used;
    pairs->len -= used;
    return true;
}

bool
pairs_are_sound(struct slice pairs)
{
    struct slice name;
    struct slice value;
    while (pairs.len > 0) {
        if (!pairs_next(&pairs, &name, &value))
            return false;
        /* libfcgi and getenv-like look-ups work on C strings. */
        if (name.len == 0 || memchr(name.p, '\0', name.len) != NULL ||
            memchr(name.p, '=', name.len) != NULL ||
            (value.len > 0 && memchr(value.p, '\0', value.len) != NULL))
            return false;
    }
    return true;
}

bool
pairs_find(struct slice pairs, const char *wanted, char *value, size_t size)
{
    struct slice name;
    struct slice found;
    while (pairs.len > 0 && pairs_next(&pairs, &name, &found)) {
        if (!slice_equal(name, slice_of(wanted)) || found.len >= size)
            continue;
        memcpy(value, found.p, found.len);
        value[found.len] = '\0';
        return true;
    }
    return false;
}
