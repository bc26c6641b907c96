/* sql_text.c - see base/sql_text.h. Called by store/model.c and track/scan.c. */
#include "config.h"

#include "base/sql_text.h"

#include <ctype.h>
#include <string.h>

bool
sql_is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

const char *
sql_skip_space(const char *p)
{
    for (;;) {
        if (p[0] == '-' && p[1] == '-') {
            p += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            p = end != NULL ? end + 2 : p + strlen(p);
        } else if (*p != '\0' && strchr(" \t\r\n\f", *p) != NULL) {
            p++;
        } else {
            return p;
        }
    }
}
