/* naive_glob.c - compiles a GLOB pattern to items, then fills a table: row i, column t says
 * whether the first i items match the first t characters. */
#include "config.h"

#include "naive_glob.h"

#include <stdint.h>
#include <string.h>

enum item_kind { ITEM_CHAR, ITEM_ANY, ITEM_STAR, ITEM_SET, ITEM_NEVER };

/* SET: the members are chars[first] up to chars[last - 1] of the pattern. */
struct item {
    enum item_kind kind;
    uint32_t c;
    size_t first, last;
};

struct text {
    uint32_t chars[NAIVE_GLOB_MAX];
    size_t len;
};

static void
decode(struct text *out, const char *utf8)
{
    out->len = 0;
    while (*utf8 != '\0' && out->len < NAIVE_GLOB_MAX) {
        unsigned char lead = (unsigned char)*utf8++;
        int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
        uint32_t c = more == 3   ? lead & 7u
                     : more == 2 ? lead & 15u
                     : more      ? lead & 31u
                                 : lead;
        while (more-- > 0)
            c = c << 6 | ((unsigned char)*utf8++ & 0x3Fu);
        out->chars[out->len++] = c;
    }
}

/* The set that begins behind the `[` at `at`: where its `]` stands, or the pattern's end. */
static size_t
find_set_end(const struct text *pattern, size_t at)
{
    if (at < pattern->len && pattern->chars[at] == '^')
        at++;
    if (at < pattern->len && pattern->chars[at] == ']')
        at++;
    while (at < pattern->len && pattern->chars[at] != ']')
        at++; /* no range ends at a `]`: the dash before it is a dash */
    return at;
}

static size_t
compile(struct item *items, const struct text *pattern)
{
    size_t count = 0;

    for (size_t i = 0; i < pattern->len; i++) {
        uint32_t c = pattern->chars[i];
        struct item item = {.kind = ITEM_CHAR, .c = c};
        if (c == '*') {
            item.kind = ITEM_STAR;
        } else if (c == '?') {
            item.kind = ITEM_ANY;
        } else if (c == '[') {
            item.first = i + 1;
            item.last = find_set_end(pattern, i + 1);
            item.kind = item.last < pattern->len ? ITEM_SET : ITEM_NEVER;
            i = item.last;
        }
        items[count++] = item;
    }
    return count;
}

static bool
set_has(const struct text *pattern, const struct item *set, uint32_t c)
{
    const uint32_t *p = pattern->chars + set->first;
    const uint32_t *end = pattern->chars + set->last;
    bool inverted = p < end && *p == '^';
    bool found = false;
    const uint32_t *prior = NULL;

    if (inverted)
        p++;
    if (p < end && *p == ']') {
        found = c == ']';
        p++;
    }
    while (p < end) {
        if (*p == '-' && prior != NULL && p + 1 < end) {
            found = found || (*prior <= c && c <= p[1]);
            prior = NULL;
            p += 2;
        } else {
            found = found || *p == c;
            prior = p++;
        }
    }
    return found != inverted;
}

static bool
item_takes(const struct text *pattern, const struct item *item, uint32_t c)
{
    switch (item->kind) {
    case ITEM_CHAR:
        return item->c == c;
    case ITEM_ANY:
        return true;
    case ITEM_SET:
        return set_has(pattern, item, c);
    case ITEM_STAR:
    case ITEM_NEVER:
        break;
    }
    return false;
}

bool
naive_glob(const char *pattern_text, const char *text_text)
{
    struct text pattern, text;
    struct item items[NAIVE_GLOB_MAX];
    bool before[NAIVE_GLOB_MAX + 1] = {true};
    bool now[NAIVE_GLOB_MAX + 1];

    decode(&pattern, pattern_text);
    decode(&text, text_text);
    size_t count = compile(items, &pattern);
    for (size_t i = 0; i < count; i++) {
        bool star = items[i].kind == ITEM_STAR;
        now[0] = star && before[0];
        for (size_t t = 0; t < text.len; t++)
            now[t + 1] = star ? now[t] || before[t + 1]
                              : before[t] && item_takes(&pattern, &items[i], text.chars[t]);
        memcpy(before, now, text.len + 1);
    }
    return before[text.len];
}

bool
naive_glob_any(const struct patterns *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (naive_glob(patterns->items[i], text))
            return true;
    return false;
}
