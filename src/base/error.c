/* error.c - builds the one line that a failing function returns to its caller. */
#include "config.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int
error_set(struct error *error, const char *format, ...)
{
    if (error == NULL)
        return -1;

    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);

    /* The text may quote a path or a parameter from outside: it must stay one line. */
    for (char *p = error->text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    return -1;
}
