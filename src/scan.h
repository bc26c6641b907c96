/* scan.h - strict numbers from text, for options and for query parameters alike.
 *
 * The whole text must be the number: no spaces, no sign (ids may have one), nothing behind it;
 * what does not fit is refused, never wrapped. Each function returns 0, or -1 and leaves
 * *value alone. */
#ifndef ROWCAST_SCAN_H
#define ROWCAST_SCAN_H

#include <stdint.h>

int scan_count(const char *text, int64_t min, int64_t max, int64_t *value); /* 12 */
int scan_size(const char *text, int64_t *bytes);  /* 512, 64K, 4M, 1G: 1024s */
int scan_age(const char *text, int64_t *ms);      /* 90s, 10m, 2h, 7d, 0 */
int scan_seconds(const char *text, int64_t *ms);  /* 15, 0.5: at most 3 decimals */
int scan_octal(const char *text, int64_t *value); /* 0660 */

/* An event id: decimal digits. An id too large for 64 bits is still "above every
 * id": it becomes INT64_MAX. */
int scan_id(const char *text, int64_t *id);

#define SCAN_QUOTED_MAX 96

/* The text in double quotes for an error message, escaped by log_quote and cut to the size of
 * out. Returns out. */
const char *scan_quote(char out[SCAN_QUOTED_MAX], const char *text);

#endif
