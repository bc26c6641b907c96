/* nearest.c - Levenshtein's distance to each name of a short list. */
#include "config.h"

#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define NAME_MAX_LEN 32 /* a longer name has no nearest one */
#define DISTANCE_MAX 2

static size_t
least(size_t a, size_t b, size_t c)
{
    size_t low = a < b ? a : b;
    return low < c ? low : c;
}

static bool
same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* How many letters one must insert, remove or change. b has at most NAME_MAX_LEN bytes. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    size_t len = strlen(b);
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t changed = diagonal + !same_letter(a[i], b[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(changed, row[j] + 1, diagonal + 1);
        }
    }
    return row[len];
}

const char *
nearest_find(const char *name, const char *const *list, size_t count)
{
    const char *nearest = NULL;
    size_t best = DISTANCE_MAX + 1;
    if (strlen(name) > NAME_MAX_LEN)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t away = strlen(list[i]) > NAME_MAX_LEN ? best : distance(name, list[i]);
        /* A name as short as its distance has no letter in common. */
        if (away < best && away < strlen(list[i])) {
            best = away;
            nearest = list[i];
        }
    }
    return nearest;
}
