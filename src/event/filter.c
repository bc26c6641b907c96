/* filter.c - GLOB, pattern lists, and the one decision on who gets a row.
 *
 * GLOB is our own because sqlite3_strglob wants NUL-terminated text, brings SQLite into a pure
 * module, and recurses, while patterns come from strangers. Here only the last star is ever
 * retried (an earlier one that takes more characters cannot help where the later one could
 * not), so stack and steps are bounded. The rules, down to how ill-formed UTF-8 is read, are
 * SQLite's (func.c, patternCompare); tests and a fuzzer compare the two. */
#include "config.h"

#include "event/filter.h"

#include <stdlib.h>

#define UTF8_REPLACEMENT 0xFFFDu

/* --- characters ------------------------------------------------------------------------------- */

/* Reads the next character as sqlite3Utf8Read does: a byte below 0xC0 stands for itself, a lead
 * byte takes all continuation bytes behind it, and what no text should hold (overlong ASCII,
 * surrogates, U+FFFE, U+FFFF) is U+FFFD. *p < end. */
static uint32_t
read_char(const char **p, const char *end)
{
    uint32_t c = (unsigned char)*(*p)++;

    if (c < 0xC0)
        return c;
    if (c < 0xE0)
        c &= 0x1F;
    else if (c < 0xF0)
        c &= 0x0F;
    else if (c < 0xF8)
        c &= 0x07;
    else if (c < 0xFC)
        c &= 0x03;
    else
        c = c < 0xFE ? c & 0x01 : 0;
    while (*p < end && ((unsigned char)**p & 0xC0) == 0x80)
        c = (c << 6) + ((unsigned char)*(*p)++ & 0x3F);
    if (c < 0x80 || (c & 0xFFFFF800u) == 0xD800 || (c & 0xFFFFFFFEu) == 0xFFFE)
        return UTF8_REPLACEMENT;
    return c;
}

/* --- GLOB ---------------------------------------------------------------------------------------- */

struct span {
    const char *p;
    const char *end;
};

/* Reads the set whose `[` has been read and leaves set->p behind its `]`. True when c is in it.
 * A set without `]` holds nothing, not even when inverted. */
static bool
match_set(struct span *set, uint32_t c)
{
    bool inverted = false, seen = false, has_prior = false;
    uint32_t prior = 0;

    if (set->p < set->end && *set->p == '^') {
        inverted = true;
        set->p++;
    }
    if (set->p < set->end && *set->p == ']') { /* first in the set, it stands for itself */
        seen = c == ']';
        set->p++;
    }
    while (set->p < set->end) {
        uint32_t item = read_char(&set->p, set->end);
        if (item == ']')
            return seen != inverted;
        bool range = item == '-' && has_prior && set->p < set->end && *set->p != ']';
        if (range) {
            uint32_t last = read_char(&set->p, set->end);
            seen = seen || (prior <= c && c <= last);
        } else {
            seen = seen || c == item;
            prior = item;
        }
        has_prior = !range;
    }
    return false;
}

/* Matches one character of the text with the pattern's next item, which is not a `*`. */
static bool
match_one(struct span *pattern, struct span *text)
{
    uint32_t item = read_char(&pattern->p, pattern->end);
    uint32_t c = read_char(&text->p, text->end);

    if (item == '?')
        return true;
    if (item == '[')
        return match_set(pattern, c);
    return item == c;
}

bool
glob_matches(const char *pattern, struct slice text)
{
    struct span want = {pattern, pattern + strlen(pattern)};
    struct span have = {text.p, text.p + text.len};
    const char *retry_want = NULL; /* behind the last star */
    const char *retry_have = NULL; /* where that star's share of the text ends */

    if (text.p == NULL)
        return false;
    for (;;) {
        if (want.p < want.end && *want.p == '*') {
            retry_want = ++want.p;
            retry_have = have.p;
            if (want.p == want.end)
                return true;
            continue;
        }
        if (have.p == have.end && want.p == want.end)
            return true;
        if (have.p < have.end && want.p < want.end && match_one(&want, &have))
            continue;
        /* The last star takes one character more. */
        if (retry_want == NULL || retry_have == have.end)
            return false;
        read_char(&retry_have, have.end);
        want.p = retry_want;
        have.p = retry_have;
    }
}

static bool
is_special(char c)
{
    return c == '*' || c == '?' || c == '[';
}

bool
glob_is_exact(const char *pattern)
{
    while (*pattern != '\0' && !is_special(*pattern))
        pattern++;
    return *pattern == '\0';
}

/* --- pattern lists --------------------------------------------------------------------------------- */

static bool
pattern_matches(const char *pattern, struct slice channel)
{
    if (glob_is_exact(pattern))
        return slice_equal(slice_of(pattern), channel);
    return glob_matches(pattern, channel);
}

bool
patterns_match(const struct patterns *patterns, struct slice channel)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (pattern_matches(patterns->items[i], channel))
            return true;
    }
    return false;
}

static bool
patterns_equal(const struct patterns *a, const struct patterns *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

static bool
has_bad_byte(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.p[i];
        if (c == '\0' || c == '\r' || c == '\n')
            return true;
    }
    return false;
}

/* Where the pattern is or belongs. */
static size_t
find_place(const struct patterns *patterns, const char *pattern)
{
    size_t place = 0;

    while (place < patterns->count && strcmp(patterns->items[place], pattern) < 0)
        place++;
    return place;
}

/* Takes the copy over. */
static enum patterns_result
insert_take(struct patterns *patterns, char *copy)
{
    size_t place = find_place(patterns, copy);

    if (place < patterns->count && strcmp(patterns->items[place], copy) == 0) {
        free(copy);
        return PATTERNS_OK;
    }
    if (patterns->count == FILTER_PATTERNS_MAX) {
        free(copy);
        return PATTERNS_TOO_MANY;
    }
    char **items = realloc(patterns->items, (patterns->count + 1) * sizeof *items);
    if (items == NULL) {
        free(copy);
        return PATTERNS_NO_MEMORY;
    }
    memmove(items + place + 1, items + place, (patterns->count - place) * sizeof *items);
    items[place] = copy;
    patterns->items = items;
    patterns->count++;
    return PATTERNS_OK;
}

enum patterns_result
patterns_add(struct patterns *patterns, struct slice pattern)
{
    if (pattern.len == 0)
        return PATTERNS_EMPTY;
    if (pattern.len > FILTER_PATTERN_MAX)
        return PATTERNS_TOO_LONG;
    if (has_bad_byte(pattern))
        return PATTERNS_BAD_BYTE;
    char *copy = strndup(pattern.p, pattern.len);
    if (copy == NULL)
        return PATTERNS_NO_MEMORY;
    return insert_take(patterns, copy);
}

const char *
patterns_strerror(enum patterns_result result)
{
    switch (result) {
    case PATTERNS_OK:
        return "is fine";
    case PATTERNS_EMPTY:
        return "is empty";
    case PATTERNS_TOO_LONG:
        return "is longer than 256 bytes";
    case PATTERNS_TOO_MANY:
        return "is one too many: at most 64";
    case PATTERNS_BAD_BYTE:
        return "holds a NUL, CR or LF";
    case PATTERNS_NO_MEMORY:
        return "does not fit into memory";
    }
    return "is not understood";
}

void
patterns_fini(struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->items[i]);
    free(patterns->items);
    *patterns = (struct patterns){0};
}

/* --- the filter ------------------------------------------------------------------------------------ */

static bool
is_for_user(const struct filter *filter, struct slice recipient)
{
    if (recipient.p == NULL)
        return true;
    return filter->user != NULL && slice_equal(slice_of(filter->user), recipient);
}

bool
filter_bound_allows(const struct filter *filter, enum filter_bound bound,
                    struct slice channel)
{
    return !filter->bounded[bound] || patterns_match(&filter->bounds[bound], channel);
}

bool
filter_bounds_allow(const struct filter *filter, struct slice channel)
{
    for (int i = 0; i < FILTER_BOUNDS; i++) {
        if (!filter_bound_allows(filter, (enum filter_bound)i, channel))
            return false;
    }
    return true;
}

bool
filter_matches(const struct filter *filter, struct slice channel, struct slice recipient)
{
    if (!is_for_user(filter, recipient))
        return false;
    if (filter->requested.count > 0 && !patterns_match(&filter->requested, channel))
        return false;
    return filter_bounds_allow(filter, channel);
}

bool
filter_equal(const struct filter *a, const struct filter *b)
{
    for (int i = 0; i < FILTER_BOUNDS; i++) {
        if (a->bounded[i] != b->bounded[i])
            return false;
        if (a->bounded[i] && !patterns_equal(&a->bounds[i], &b->bounds[i]))
            return false;
    }
    return patterns_equal(&a->requested, &b->requested) &&
           slice_equal(slice_of(a->user), slice_of(b->user));
}

/* FNV-1a, 64 bits. The NUL at a text's end is hashed too, so that ("a", "b") and ("ab") differ. */
static uint64_t
hash_text(uint64_t hash, const char *text)
{
    size_t len = strlen(text) + 1;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t
hash_patterns(uint64_t hash, const struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        hash = hash_text(hash, patterns->items[i]);
    return hash_text(hash, ""); /* no pattern is empty: this ends the list */
}

uint64_t
filter_hash(const struct filter *filter)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    hash = hash_patterns(hash, &filter->requested);
    for (int i = 0; i < FILTER_BOUNDS; i++) {
        hash = hash_text(hash, filter->bounded[i] ? "bounded" : "");
        if (filter->bounded[i])
            hash = hash_patterns(hash, &filter->bounds[i]);
    }
    return hash_text(hash, filter->user != NULL ? filter->user : "");
}

bool
filter_is_exact(const struct filter *filter)
{
    for (size_t i = 0; i < filter->requested.count; i++) {
        if (!glob_is_exact(filter->requested.items[i]))
            return false;
    }
    return filter->requested.count > 0;
}

void
filter_move(struct filter *to, struct filter *from)
{
    *to = *from;
    *from = (struct filter){0};
}

void
filter_fini(struct filter *filter)
{
    patterns_fini(&filter->requested);
    for (int i = 0; i < FILTER_BOUNDS; i++)
        patterns_fini(&filter->bounds[i]);
    free(filter->user);
    *filter = (struct filter){0};
}
