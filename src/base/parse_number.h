/* parse_number.h - strict numbers from text, for options and for query parameters alike.
 *
 * The whole text must be the number: no spaces, no sign, nothing behind it. A number that does not
 * fit is refused, never wrapped. Each function returns 0, or -1 and leaves *value alone. */
#ifndef ROWCAST_BASE_PARSE_NUMBER_H
#define ROWCAST_BASE_PARSE_NUMBER_H

#include <stdint.h>

int parse_count(const char *text, int64_t min, int64_t max, int64_t *value); /* 12 */
int parse_size(const char *text, int64_t *bytes);  /* 512, 64K, 4M, 1G: 1024s */
int parse_age(const char *text, int64_t *ms);      /* 90s, 10m, 2h, 7d, 0 */
int parse_seconds(const char *text, int64_t *ms);  /* 15, 0.5: at most 3 decimals */
int parse_octal(const char *text, int64_t *value); /* 0660 */

/* An event id: decimal digits. An id too large for 64 bits becomes INT64_MAX: it is above every id
 * of the table. */
int parse_id(const char *text, int64_t *id);

#define PARSE_QUOTED_MAX 96

/* Writes the text to out, in double quotes for an error message, escaped by log_quote and cut to
 * fit. Returns out. */
const char *parse_quote(char out[PARSE_QUOTED_MAX], const char *text);

#endif
