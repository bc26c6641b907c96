/* sql_text.h - words, white space and comments of SQL (sqlite.org/lang_comment.html). Pure. */
#ifndef ROWCAST_BASE_SQL_TEXT_H
#define ROWCAST_BASE_SQL_TEXT_H

#include <stdbool.h>

/* Whether the byte belongs to a name or a keyword; bytes above 0x7f do. */
bool sql_is_word_byte(char c);

/* Returns the first byte behind the white space and comments at p. The text may end within a
 * comment. */
const char *sql_skip_space(const char *p);

#endif
