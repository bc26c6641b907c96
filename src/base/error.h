/* error.h - one line for a person: what failed and what to do about it. */
#ifndef ROWCAST_BASE_ERROR_H
#define ROWCAST_BASE_ERROR_H

#include <stddef.h>

#define ERROR_TEXT_MAX 512

struct error {
    char text[ERROR_TEXT_MAX]; /* no line end; control characters replaced by '?' */
};

/* Sets the text, cut to ERROR_TEXT_MAX - 1 bytes. Returns -1, so that a failing function can
 * say `return error_set(error, ...)`. error may be NULL. */
int error_set(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
