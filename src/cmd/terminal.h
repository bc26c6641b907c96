/* terminal.h - text from rows on its way to a terminal. */
#ifndef ROWCAST_CMD_TERMINAL_H
#define ROWCAST_CMD_TERMINAL_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends the text with everything that a terminal would act on written out, as \x1b: control
 * characters but line ends and tabs, those of U+0080 to U+009F, and the characters that turn the
 * direction of writing. Text is UTF-8; bytes that are not are written out, too. */
void terminal_append(struct buf *out, struct slice text);

#endif
