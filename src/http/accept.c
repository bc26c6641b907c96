/* accept.c - content negotiation, one pass over the header. */
#include "config.h"

#include "http/accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/slice.h"

#define TYPES_MAX 8
#define QUALITY_MAX 1000 /* q=1; qualities have three decimals */

/* How closely a range names a type. */
enum match {
    MATCH_NONE,
    MATCH_ANY /* a star for both */,
    MATCH_FAMILY /* text/star */,
    MATCH_EXACT
};

/* The best range so far for one type. */
struct offer {
    enum match match;
    int quality;  /* in thousandths */
    int position; /* of the range in the header */
};

struct range {
    struct slice type; /* "text/html" */
    int quality;
};

/* Cuts what stands before the separator off *rest. Separators inside a quoted string (which a
 * parameter's value may be) do not count. */
static struct slice
cut_until(struct slice *rest, char separator)
{
    bool quoted = false;
    size_t len = 0;

    for (; len < rest->len && (quoted || rest->p[len] != separator); len++) {
        if (rest->p[len] == '"')
            quoted = !quoted;
        else if (quoted && rest->p[len] == '\\' && len + 1 < rest->len)
            len++;
    }
    struct slice text = {rest->p, len};
    size_t taken = len < rest->len ? len + 1 : len;
    rest->p += taken;
    rest->len -= taken;
    return slice_trim(text);
}

/* "0", "0.5", "1.000": thousandths, or -1. */
static int
parse_quality(struct slice text)
{
    if (text.len == 0 || text.len > 5 || text.p[0] < '0' || text.p[0] > '1')
        return -1;
    if (text.len > 1 && text.p[1] != '.')
        return -1;
    int quality = (text.p[0] - '0') * QUALITY_MAX;
    int unit = QUALITY_MAX / 10;
    for (size_t i = 2; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        quality += (text.p[i] - '0') * unit;
        unit /= 10;
    }
    return quality > QUALITY_MAX ? -1 : quality;
}

/* Reads one member of the header, "text/html;level=1;q=0.5". Returns -1 if it is malformed. */
static int
parse_range(struct slice member, struct range *range)
{
    range->type = cut_until(&member, ';');
    range->quality = QUALITY_MAX;
    if (memchr(range->type.p, '/', range->type.len) == NULL)
        return -1;
    while (member.len > 0) {
        struct slice parameter = cut_until(&member, ';');
        if (parameter.len < 2 || strncasecmp(parameter.p, "q=", 2) != 0)
            continue;
        range->quality = parse_quality((struct slice){parameter.p + 2, parameter.len - 2});
        if (range->quality < 0)
            return -1;
    }
    return 0;
}

static enum match
match_type(struct slice range, const char *type)
{
    size_t len = strlen(type);
    size_t family = strcspn(type, "/") + 1; /* with the slash */

    if (range.len == len && strncasecmp(range.p, type, len) == 0)
        return MATCH_EXACT;
    if (range.len == family + 1 && range.p[family] == '*' &&
        strncasecmp(range.p, type, family) == 0)
        return MATCH_FAMILY;
    if (range.len == 3 && memcmp(range.p, "*/*", 3) == 0)
        return MATCH_ANY;
    return MATCH_NONE;
}

/* Does range a rather than b say how much a type is wanted? */
static bool
governs(const struct offer *a, const struct offer *b)
{
    if (a->match != b->match)
        return a->match > b->match;
    return a->quality > b->quality;
}

static bool
is_better(const struct offer *a, const struct offer *b)
{
    if (a->quality != b->quality)
        return a->quality > b->quality;
    if (a->match != b->match)
        return a->match > b->match;
    return a->position < b->position;
}

static int
best_offer(const struct offer *offers, int count)
{
    int best = -1;

    for (int i = 0; i < count; i++) {
        if (offers[i].match == MATCH_NONE || offers[i].quality == 0)
            continue;
        if (best < 0 || is_better(&offers[i], &offers[best]))
            best = i;
    }
    return best;
}

int
accept_choose(const char *header, const char *const *types)
{
    struct offer offers[TYPES_MAX] = {{MATCH_NONE, 0, 0}};
    struct slice rest = slice_trim(slice_of(header == NULL ? "" : header));
    int count = 0;

    if (rest.len == 0)
        return 0;
    while (count < TYPES_MAX && types[count] != NULL)
        count++;
    for (int position = 0; rest.len > 0; position++) {
        struct range range;
        if (parse_range(cut_until(&rest, ','), &range) != 0)
            continue;
        for (int i = 0; i < count; i++) {
            struct offer offer = {match_type(range.type, types[i]), range.quality,
                                  position};
            if (governs(&offer, &offers[i]))
                offers[i] = offer;
        }
    }
    return best_offer(offers, count);
}
