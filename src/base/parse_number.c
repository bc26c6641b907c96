/* parse_number.c - strict numbers from text.
 *
 * Not with strtoll and similar functions: they skip spaces, accept a sign, depend on the locale,
 * and report overflow only in errno. */
#include "config.h"

#include "base/parse_number.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"

#define MS_PER_SECOND 1000

/* Reads the digits at *text and moves *text behind them. Returns -1 when there are none. A number
 * that does not fit becomes INT64_MAX, with *overflow set. */
static int
read_digits(const char **text, int64_t *value, bool *overflow)
{
    const char *p = *text;
    int64_t sum = 0;

    *overflow = false;
    for (; *p >= '0' && *p <= '9'; p++) {
        int digit = *p - '0';
        if (sum > (INT64_MAX - digit) / 10)
            *overflow = true;
        else
            sum = sum * 10 + digit;
    }
    if (p == *text)
        return -1;
    *text = p;
    *value = *overflow ? INT64_MAX : sum;
    return 0;
}

/* The same, but refuses a number that does not fit. */
static int
read_number(const char **text, int64_t *value)
{
    bool overflow;
    if (read_digits(text, value, &overflow) != 0 || overflow)
        return -1;
    return 0;
}

static int
multiply(int64_t number, int64_t unit, int64_t *product)
{
    if (number > INT64_MAX / unit)
        return -1;
    *product = number * unit;
    return 0;
}

int
parse_count(const char *text, int64_t min, int64_t max, int64_t *value)
{
    int64_t number;
    if (read_number(&text, &number) != 0 || *text != '\0')
        return -1;
    if (number < min || number > max)
        return -1;
    *value = number;
    return 0;
}

int
parse_size(const char *text, int64_t *bytes)
{
    int64_t number;
    if (read_number(&text, &number) != 0)
        return -1;

    int64_t unit = 1;
    switch (*text) {
    case 'K':
        unit = 1024;
        break;
    case 'M':
        unit = 1024 * 1024;
        break;
    case 'G':
        unit = 1024 * 1024 * 1024;
        break;
    default:
        break;
    }
    if (unit != 1)
        text++;
    if (*text != '\0')
        return -1;
    return multiply(number, unit, bytes);
}

int
parse_age(const char *text, int64_t *ms)
{
    int64_t number;
    if (read_number(&text, &number) != 0)
        return -1;
    if (*text == '\0' && number == 0) {
        *ms = 0;
        return 0;
    }

    int64_t unit;
    switch (*text) {
    case 's':
        unit = MS_PER_SECOND;
        break;
    case 'm':
        unit = 60 * MS_PER_SECOND;
        break;
    case 'h':
        unit = 3600 * MS_PER_SECOND;
        break;
    case 'd':
        unit = 86400 * MS_PER_SECOND;
        break;
    default:
        return -1;
    }
    if (text[1] != '\0')
        return -1;
    return multiply(number, unit, ms);
}

int
parse_seconds(const char *text, int64_t *ms)
{
    int64_t seconds, whole;
    if (read_number(&text, &seconds) != 0 || multiply(seconds, MS_PER_SECOND, &whole) != 0)
        return -1;

    int64_t fraction = 0;
    if (*text == '.') {
        const char *start = ++text;
        if (read_number(&text, &fraction) != 0 || text - start > 3)
            return -1;
        for (long decimals = text - start; decimals < 3; decimals++)
            fraction *= 10;
    }
    if (*text != '\0' || whole > INT64_MAX - fraction)
        return -1;
    *ms = whole + fraction;
    return 0;
}

int
parse_octal(const char *text, int64_t *value)
{
    int64_t sum = 0;

    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '7' || sum > INT64_MAX / 8)
            return -1;
        sum = sum * 8 + (*text - '0');
    }
    *value = sum;
    return 0;
}

int
parse_id(const char *text, int64_t *id)
{
    bool overflow;
    int64_t number;

    if (read_digits(&text, &number, &overflow) != 0 || *text != '\0')
        return -1;
    *id = number;
    return 0;
}

const char *
parse_quote(char out[PARSE_QUOTED_MAX], const char *text)
{
    /* log_quote leaves plain words bare; in a sentence they read better in quotes. */
    log_quote(out + 1, PARSE_QUOTED_MAX - 2, text);
    size_t len = strlen(out + 1);
    if (out[1] == '"') {
        memmove(out, out + 1, len + 1);
    } else {
        out[0] = '"';
        memcpy(out + 1 + len, "\"", 2);
    }
    return out;
}
