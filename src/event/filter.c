/* filter.c - pattern lists, and the one decision on who gets a row.
 *
 * http/request.c, http/stream_params.c and access/claims.c read the lists and compile them.
 * access/access.c asks about channels; hub/audience.c and the pages of replay ask about rows. How
 * a pattern matches is in event/glob.c. */
#include "config.h"

#include "event/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "event/glob.h"

/* --- pattern lists -------------------------------------------------------------------- */

/* By bytes, then the shorter first: strcmp's order, in which a NUL is a byte like others. */
static int
compare_slices(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.p, b.p, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The place where the pattern is (*found) or belongs. */
static size_t
find_place(const struct patterns *patterns, struct slice pattern, bool *found)
{
    size_t low = 0;
    size_t high = patterns->count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_slices(slice_of(patterns->items[middle]), pattern);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
        *found = *found || order == 0;
    }
    return low;
}

bool
patterns_match(const struct patterns *patterns, struct slice channel)
{
    bool found;
    if (channel.p == NULL)
        return false;
    size_t place = find_place(patterns, channel, &found);
    if (found && glob_is_exact(patterns->items[place]))
        return true;
    return patterns->globs != NULL && globs_match(patterns->globs, channel);
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

/* Takes the copy over. */
static enum patterns_result
insert_take(struct patterns *patterns, char *copy)
{
    bool found;
    size_t place = find_place(patterns, slice_of(copy), &found);

    if (found) {
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

enum patterns_result
patterns_add_name(struct patterns *patterns, struct slice channel)
{
    struct buf pattern = {0};

    for (size_t i = 0; i < channel.len; i++) {
        bool is_special = memchr("*?[", channel.p[i], 3) != NULL;
        buf_append_text(&pattern, is_special ? "[" : "");
        buf_append(&pattern, channel.p + i, 1);
        buf_append_text(&pattern, is_special ? "]" : "");
    }
    enum patterns_result result =
        pattern.failed ? PATTERNS_NO_MEMORY : patterns_add(patterns, buf_slice(&pattern));
    buf_fini(&pattern);
    return result;
}

static enum patterns_result
compile_globs(struct patterns *patterns, size_t max_count, size_t max_bytes)
{
    const char *globs[FILTER_PATTERNS_MAX];
    size_t count = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < patterns->count; i++) {
        if (glob_is_exact(patterns->items[i]))
            continue;
        globs[count++] = patterns->items[i];
        bytes += strlen(patterns->items[i]);
    }
    if (count > max_count)
        return PATTERNS_TOO_MANY_GLOBS;
    if (bytes > max_bytes)
        return PATTERNS_TOO_MANY_BYTES;
    if (count > 0)
        patterns->globs = globs_compile(globs, count);
    return count > 0 && patterns->globs == NULL ? PATTERNS_NO_MEMORY : PATTERNS_OK;
}

enum patterns_result
patterns_compile(struct patterns *patterns, enum patterns_whose whose)
{
    globs_free(patterns->globs);
    patterns->globs = NULL;
    if (whose == PATTERNS_ASKED)
        return compile_globs(patterns, FILTER_ASKED_GLOBS_MAX, FILTER_ASKED_BYTES_MAX);
    return compile_globs(patterns, FILTER_GRANTED_GLOBS_MAX, FILTER_GRANTED_BYTES_MAX);
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
    case PATTERNS_TOO_MANY_GLOBS:
    case PATTERNS_TOO_MANY_BYTES:
        return "is in a list that is too long";
    case PATTERNS_NO_MEMORY:
        return "does not fit into memory";
    }
    return "is not understood";
}

const char *
patterns_list_strerror(enum patterns_whose whose, enum patterns_result result)
{
    if (result == PATTERNS_NO_MEMORY)
        return patterns_strerror(result);
    if (result == PATTERNS_TOO_MANY_GLOBS)
        return "more than 16 patterns (names with *, ? or [): name the channels, or give "
               "fewer patterns that match more";
    if (whose == PATTERNS_ASKED)
        return "patterns (names with *, ? or [) of more than 512 bytes together: name the "
               "channels, or give shorter patterns";
    return "patterns (names with *, ? or [) of more than 2048 bytes together: name the "
           "channels, or give shorter patterns";
}

void
patterns_fini(struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->items[i]);
    free(patterns->items);
    globs_free(patterns->globs);
    *patterns = (struct patterns){0};
}

/* --- the filter ----------------------------------------------------------------------- */

bool
filter_allows_recipient(const struct filter *filter, struct slice recipient)
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
filter_allows_channel(const struct filter *filter, struct slice channel)
{
    if (filter->requested.count > 0 && !patterns_match(&filter->requested, channel))
        return false;
    return filter_bounds_allow(filter, channel);
}

bool
filter_matches(const struct filter *filter, struct slice channel, struct slice recipient)
{
    return filter_allows_recipient(filter, recipient) &&
           filter_allows_channel(filter, channel);
}

bool
filter_has_globs(const struct filter *filter)
{
    if (filter->requested.globs != NULL)
        return true;
    for (int i = 0; i < FILTER_BOUNDS; i++)
        if (filter->bounded[i] && filter->bounds[i].globs != NULL)
            return true;
    return false;
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

static uint64_t
hash_patterns(const struct hash_key *key, uint64_t hash, const struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        hash = hash_add(key, hash, slice_of(patterns->items[i]));
    return hash_add(key, hash, slice_of("")); /* no pattern is empty: this ends the list */
}

uint64_t
filter_hash(const struct filter *filter, const struct hash_key *key)
{
    uint64_t hash = hash_patterns(key, 0, &filter->requested);

    for (int i = 0; i < FILTER_BOUNDS; i++) {
        hash = hash_add(key, hash, slice_of(filter->bounded[i] ? "bounded" : ""));
        if (filter->bounded[i])
            hash = hash_patterns(key, hash, &filter->bounds[i]);
    }
    return hash_add(key, hash, slice_of(filter->user));
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
