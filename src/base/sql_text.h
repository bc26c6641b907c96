/* sql_text.h - the least that is to be known of SQL's text (sqlite.org/lang_comment.html). Pure. */
#ifndef ROWCAST_BASE_SQL_TEXT_H
#define ROWCAST_BASE_SQL_TEXT_H

#include <stdbool.h>

/* Whether the byte belongs to a name or a keyword; bytes above 0x7f do. */
bool sql_is_word_byte(char c);

/* Behind the white space and comments that stand at p. A comment may lack its end. */
const char *sql_skip_space(const char *p);

#endif
