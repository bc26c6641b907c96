/* glob.c - GLOB patterns as one automaton whose states are bits.
 *
 * event/filter.c compiles a list when a stream opens and matches each row's channel with it. A
 * pattern is a row of items, each of which takes one character (a letter, `?`, a set); a star
 * makes the place where it stands keep its state on any character. The state after some text
 * has a bit for each place of each pattern: "the items before this place have taken the text so
 * far". A character moves all bits on at once: (state & takes[character]) << 1 | (state &
 * stars). So time does not depend on what the patterns say, and nothing is tried twice.
 * (Navarro and Raffinot, "Flexible Pattern Matching in Strings", chapter 4.)
 *
 * Characters are put into classes: between two neighbouring characters that some pattern names,
 * all behave alike. sqlite3_strglob is not used: it wants NUL-terminated text, brings SQLite into
 * a pure module, recurses, and tries again from each star. The rules, down to how ill-formed UTF-8
 * is read, are SQLite's (func.c, patternCompare); tests and a fuzzer compare the two. */
#include "config.h"

#include "event/glob.h"

#include <stdint.h>
#include <stdlib.h>

#define UTF8_REPLACEMENT 0xFFFDu
#define ASCII 128
#define WORD_BITS 64
#define WORDS_MAX (2 * GLOBS_BYTES_MAX / WORD_BITS) /* a place for each byte and each end */

struct globs {
    size_t words;    /* of one set of places */
    size_t classes;  /* of characters */
    uint64_t *first; /* the state before any text: the first place of each pattern */
    uint64_t *stars; /* the places that a star holds */
    uint64_t *ends;  /* the last place of each pattern */
    uint64_t *takes; /* for each class the places whose item takes it */
    uint32_t
        *class_starts; /* the first character of each class, ascending; the first is 0 */
    uint16_t class_of_ascii[ASCII];
    uint64_t memory[];
};

/* --- characters ---------------------------------------------------------------------- */

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

bool
glob_is_exact(const char *pattern)
{
    return pattern[strcspn(pattern, "*?[")] == '\0';
}

/* --- patterns to items --------------------------------------------------------------- */

struct range {
    uint32_t low, high; /* both are in it */
};

/* What one place takes: the characters in its ranges, or those that are in none of them. */
struct item {
    size_t place;
    size_t first_range, range_count;
    bool inverted;
};

/* A list of patterns, taken apart. No list is longer than the patterns have bytes (and ends). */
struct draft {
    const char *p, *end; /* of the pattern at hand */
    struct item *items;
    struct range *ranges;
    size_t *stars; /* places */
    size_t *ends;
    size_t item_count, range_count, star_count, end_count;
    size_t places;
};

static void
draft_add_range(struct draft *draft, uint32_t low, uint32_t high)
{
    if (low <= high)
        draft->ranges[draft->range_count++] = (struct range){low, high};
}

/* Reads the set whose `[` has been read and leaves draft->p behind its `]`. A set without `]` takes
 * nothing, not even when inverted. */
static void
draft_read_set(struct draft *draft, struct item *item)
{
    bool has_prior = false;
    uint32_t prior = 0;

    if (draft->p < draft->end && *draft->p == '^') {
        item->inverted = true;
        draft->p++;
    }
    if (draft->p < draft->end && *draft->p == ']') { /* first, it stands for itself */
        draft_add_range(draft, ']', ']');
        draft->p++;
    }
    while (draft->p < draft->end) {
        uint32_t c = read_char(&draft->p, draft->end);
        if (c == ']')
            return;
        bool range = c == '-' && has_prior && draft->p < draft->end && *draft->p != ']';
        if (range) {
            draft_add_range(draft, prior, read_char(&draft->p, draft->end));
        } else {
            draft_add_range(draft, c, c);
            prior = c;
        }
        has_prior = !range;
    }
    draft->range_count = item->first_range;
    item->inverted = false;
}

static void
draft_read_item(struct draft *draft)
{
    struct item *item = &draft->items[draft->item_count++];
    *item = (struct item){.place = draft->places++, .first_range = draft->range_count};
    uint32_t c = read_char(&draft->p, draft->end);
    if (c == '[')
        draft_read_set(draft, item);
    else if (c == '?')
        item->inverted = true;
    else
        draft_add_range(draft, c, c);
    item->range_count = draft->range_count - item->first_range;
}

static void
draft_read_pattern(struct draft *draft, const char *pattern)
{
    draft->p = pattern;
    draft->end = pattern + strlen(pattern);
    while (draft->p < draft->end) {
        if (*draft->p != '*') {
            draft_read_item(draft);
            continue;
        }
        draft->stars[draft->star_count++] = draft->places;
        draft->p++;
    }
    draft->ends[draft->end_count++] = draft->places++;
}

static void
draft_fini(struct draft *draft)
{
    free(draft->items);
    free(draft->ranges);
    free(draft->stars);
    free(draft->ends);
}

static int
draft_init(struct draft *draft, const char *const *patterns, size_t count)
{
    size_t bytes = 1;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(patterns[i]);
    *draft = (struct draft){.items = calloc(bytes, sizeof *draft->items),
                            .ranges = calloc(bytes, sizeof *draft->ranges),
                            .stars = calloc(bytes, sizeof *draft->stars),
                            .ends = calloc(count, sizeof *draft->ends)};
    if (draft->items == NULL || draft->ranges == NULL || draft->stars == NULL ||
        draft->ends == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        draft_read_pattern(draft, patterns[i]);
    return 0;
}

/* --- items to bits ------------------------------------------------------------------- */

static void
set_bit(uint64_t *set, size_t place)
{
    set[place / WORD_BITS] |= UINT64_C(1) << place % WORD_BITS;
}

static void
clear_bit(uint64_t *set, size_t place)
{
    set[place / WORD_BITS] &= ~(UINT64_C(1) << place % WORD_BITS);
}

static int
compare_chars(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Writes where the classes begin: at 0, at each range, and behind each. Returns how many. */
static size_t
draft_list_classes(const struct draft *draft, uint32_t *starts)
{
    size_t count = 0;
    size_t unique = 0;
    starts[count++] = 0;
    for (size_t i = 0; i < draft->range_count; i++) {
        starts[count++] = draft->ranges[i].low;
        if (draft->ranges[i].high < UINT32_MAX)
            starts[count++] = draft->ranges[i].high + 1;
    }
    qsort(starts, count, sizeof *starts, compare_chars);
    for (size_t i = 1; i < count; i++)
        if (starts[i] != starts[unique])
            starts[++unique] = starts[i];
    return unique + 1;
}

static size_t
find_class(const struct globs *globs, uint32_t c)
{
    size_t low = 0;
    size_t high = globs->classes;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (globs->class_starts[middle] <= c)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void
globs_set_item(struct globs *globs, const struct draft *draft, const struct item *item)
{
    for (size_t class = 0; item->inverted && class < globs->classes; class ++)
        set_bit(globs->takes + class * globs->words, item->place);
    for (size_t i = 0; i < item->range_count; i++) {
        const struct range *range = &draft->ranges[item->first_range + i];
        size_t class = find_class(globs, range->low);
        for (; class < globs->classes && globs->class_starts[class] <= range->high;
             class ++) {
            uint64_t *takes = globs->takes + class * globs->words;
            if (item->inverted)
                clear_bit(takes, item->place);
            else
                set_bit(takes, item->place);
        }
    }
}

static void
globs_fill(struct globs *globs, const struct draft *draft)
{
    for (uint32_t c = 0; c < ASCII; c++)
        globs->class_of_ascii[c] = (uint16_t)find_class(globs, c);
    for (size_t i = 0; i < draft->item_count; i++)
        globs_set_item(globs, draft, &draft->items[i]);
    for (size_t i = 0; i < draft->star_count; i++)
        set_bit(globs->stars, draft->stars[i]);
    for (size_t i = 0; i < draft->end_count; i++) {
        set_bit(globs->ends, draft->ends[i]);
        set_bit(globs->first, i == 0 ? 0 : draft->ends[i - 1] + 1);
    }
}

/* Everything is in one piece of memory: the sets first, then the classes' first characters. */
static struct globs *
globs_new(const struct draft *draft)
{
    uint32_t *starts = calloc(2 * draft->range_count + 1, sizeof *starts);
    if (starts == NULL)
        return NULL;
    size_t classes = draft_list_classes(draft, starts);
    size_t words = (draft->places + WORD_BITS - 1) / WORD_BITS;
    size_t sets = (3 + classes) * words * sizeof(uint64_t);
    struct globs *globs = calloc(1, sizeof *globs + sets + classes * sizeof *starts);
    if (globs != NULL) {
        globs->words = words;
        globs->classes = classes;
        globs->first = globs->memory;
        globs->stars = globs->first + words;
        globs->ends = globs->stars + words;
        globs->takes = globs->ends + words;
        globs->class_starts = (uint32_t *)(globs->takes + classes * words);
        memcpy(globs->class_starts, starts, classes * sizeof *starts);
    }
    free(starts);
    return globs;
}

struct globs *
globs_compile(const char *const *patterns, size_t count)
{
    struct draft draft;
    struct globs *globs = NULL;
    if (draft_init(&draft, patterns, count) == 0)
        globs = globs_new(&draft);
    if (globs != NULL)
        globs_fill(globs, &draft);
    draft_fini(&draft);
    return globs;
}

void
globs_free(struct globs *globs)
{
    free(globs);
}

/* --- matching ------------------------------------------------------------------------ */

enum outlook { OUTLOOK_OPEN, OUTLOOK_MATCHES, OUTLOOK_NEVER };

/* Moves the state over one character of the class. */
static enum outlook
globs_step(const struct globs *globs, uint64_t *state, size_t class)
{
    const uint64_t *takes = globs->takes + class * globs->words;
    uint64_t carry = 0;
    uint64_t alive = 0;
    uint64_t sure = 0;
    for (size_t i = 0; i < globs->words; i++) {
        uint64_t moved = state[i] & takes[i];
        state[i] = (state[i] & globs->stars[i]) | moved << 1 | carry;
        carry = moved >> (WORD_BITS - 1);
        alive |= state[i];
        sure |= state[i] & globs->stars[i] & globs->ends[i]; /* the rest is a star's */
    }
    if (sure != 0)
        return OUTLOOK_MATCHES;
    return alive == 0 ? OUTLOOK_NEVER : OUTLOOK_OPEN;
}

static size_t
read_class(const struct globs *globs, const char **p, const char *end)
{
    if ((unsigned char)**p < ASCII)
        return globs->class_of_ascii[(unsigned char)*(*p)++];
    return find_class(globs, read_char(p, end));
}

bool
globs_match(const struct globs *globs, struct slice text)
{
    uint64_t state[WORDS_MAX];
    uint64_t ended = 0;

    if (text.p == NULL)
        return false;
    const char *end = text.p + text.len;
    memcpy(state, globs->first, globs->words * sizeof *state);
    for (const char *p = text.p; p < end;) {
        enum outlook outlook = globs_step(globs, state, read_class(globs, &p, end));
        if (outlook != OUTLOOK_OPEN)
            return outlook == OUTLOOK_MATCHES;
    }
    for (size_t i = 0; i < globs->words; i++)
        ended |= state[i] & globs->ends[i];
    return ended != 0;
}

bool
glob_can_name(struct slice channel)
{
    for (size_t i = 0; i < channel.len; i++) {
        if (strchr("*?[ \t", channel.p[i]) != NULL && channel.p[i] != '\0')
            return false;
    }
    return true;
}
