/* fuzz_glob.c - a compiled pattern says what sqlite3_strglob says; on text that is not UTF-8, where
 * SQLite contradicts itself, it only has to stay within bounds. Input: pattern, NUL, text. A set
 * without an end, which no text matches, makes a list of it. */
#include "config.h"

#include <sqlite3.h>
#include <unistr.h>

#include "fuzz.h"
#include "event/glob.h"

/* SQLite's matcher is quadratic, or worse; ours is measured by test_glob. */
#define PATTERN_MAX 64
#define TEXT_MAX 256

static bool
is_utf8(const char *text)
{
    return u8_check((const uint8_t *)text, strlen(text)) == NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};

    if (size == 0)
        return 0;
    char *pattern = fuzz_take_text(&input);
    if (strlen(pattern) > GLOBS_BYTES_MAX)
        pattern[GLOBS_BYTES_MAX] = '\0';
    const char *const list[] = {pattern, "["};
    struct globs *globs = globs_compile(list, 2);
    MUST(globs != NULL);
    bool matches = globs_match(globs, input);
    char *text = fuzz_take_text(&input);

    if (strlen(pattern) <= PATTERN_MAX && strlen(text) <= TEXT_MAX) {
        matches = globs_match(globs, slice_of(text));
        if (is_utf8(pattern) && is_utf8(text))
            MUST(matches == (sqlite3_strglob(pattern, text) == 0));
        if (glob_is_exact(pattern) && strcmp(pattern, text) == 0)
            MUST(matches);
    }
    globs_free(globs);
    free(text);
    free(pattern);
    return 0;
}
